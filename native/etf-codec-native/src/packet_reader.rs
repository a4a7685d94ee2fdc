//! Whole packets, read: those that begin as others did.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use smallvec::SmallVec;

use crate::beginnings::{Beginning, Beginnings};
use crate::bounds::Bounds;
use crate::cursor::Cursor;
use crate::decode::Options;
use crate::reader::Reader;
use crate::records::Records;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};

type Any<'py> = Bound<'py, PyAny>;

/// What a packet holds.
enum Contents<'py> {
    /// What its opening stands for, or was made of its tuple, and the term, None where none belongs to it.
    Message(Any<'py>, Any<'py>),
    /// None, and where its parts are, with its terms.
    Raw(Any<'py>, Any<'py>),
}

/// Where a packet starts, its terms start, and it ends.
#[derive(Clone, Copy)]
struct Packet {
    start: usize,
    terms: usize,
    end: usize,
}

/// Reads packets that begin as others did before, in one call for a whole read. See the Python codec.
#[pyclass(frozen, module = "etf_codec")]
pub struct PacketReader {
    beginnings: Beginnings,
    records: Records,
    longest: usize,
    none: Option<Py<PyAny>>,
    limits: Option<Py<PyAny>>,
    /// None if native code does not have these options.
    bounds: Option<Bounds>,
    /// The same in Python.
    python: Py<PyAny>,
}

#[pymethods]
impl PacketReader {
    #[new]
    #[pyo3(signature = (openings, max_packet_bytes, headers=None, records=None, *, none=None, limits=None))]
    #[pyo3(text_signature = "(openings, max_packet_bytes, headers={}, records={}, *, \
                             none=None, limits=Limits())")]
    fn new<'py>(
        openings: &Bound<'py, PyDict>,
        max_packet_bytes: &Any<'py>,
        headers: Option<Bound<'py, PyDict>>,
        records: Option<Bound<'py, PyDict>>,
        none: Option<Any<'py>>,
        limits: Option<Any<'py>>,
    ) -> PyResult<Self> {
        let py = openings.py();
        let shared = Shared::get(py)?;
        let (headers, records) =
            (headers.unwrap_or_else(|| PyDict::new(py)), records.unwrap_or_else(|| PyDict::new(py)));
        let mut options = Options {
            binaries: None,
            none: none.as_ref(),
            atoms: None,
            copy_binaries: None,
            limits: limits.as_ref(),
        };
        let keywords = options.keywords(py)?;
        let python = shared.decoder.bind(py).call_method(
            "PacketReader",
            (openings, max_packet_bytes, &headers, &records),
            Some(&keywords),
        )?;
        let bounds = match options.own_bounds(shared, py) {
            Ok(Some(bounds)) => Some(bounds),
            Ok(None) => Some(Bounds::read(shared.default_limits.bind(py))?),
            Err(Stop::Rerun) => None,
            Err(Stop::Raise(error)) => return Err(error),
        };
        Ok(PacketReader {
            beginnings: Beginnings::new(openings, &headers),
            records: Records::of(&records)?,
            // More than a length can say is the same as the most that it can.
            longest: max_packet_bytes.extract().unwrap_or(usize::MAX),
            limits: options.limits.map(|limits| limits.clone().unbind()),
            none: none.map(Bound::unbind),
            bounds,
            python: python.unbind(),
        })
    }

    /// Read a run of packets. See the Python codec for what ends it, and what is returned.
    fn read<'py>(&self, data: &Any<'py>, offset: usize) -> PyResult<Bound<'py, PyTuple>> {
        or_python(self.run(data, offset), || {
            let read = self.python.bind(data.py()).call_method1("read", (data, offset))?;
            Ok(read.cast_into::<PyTuple>()?)
        })
    }

    /// Read a packet that is all of the data. See the Python codec.
    fn read_one<'py>(&self, data: &Any<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        or_python(self.one(data), || Ok(None))
    }
}

impl PacketReader {
    fn run<'py>(&self, data: &Any<'py>, mut offset: usize) -> Outcome<Bound<'py, PyTuple>> {
        let py = data.py();
        let reading = self.reading(data)?;
        let mut found: SmallVec<[(Any<'py>, Any<'py>); 1]> = SmallVec::new();
        let mut raw = 0;
        while let Some((beginning, packet)) = reading.begun(offset)? {
            match reading.contents(packet, &beginning) {
                Ok(Contents::Message(message, term)) => found.push((message, term)),
                Ok(Contents::Raw(none, parts)) => {
                    found.push((none, parts));
                    raw += 1;
                }
                Err(Stop::Rerun) => break,
                Err(raised) => return Err(raised),
            }
            offset = packet.end;
        }
        Ok((PyList::new(py, found)?, offset, raw).into_pyobject(py)?)
    }

    fn one<'py>(&self, data: &Any<'py>) -> Outcome<Option<Bound<'py, PyTuple>>> {
        let reading = self.reading(data)?;
        let Some((beginning, packet)) = reading.begun(0)? else { return Ok(None) };
        if packet.end != reading.bytes.as_bytes().len() {
            return Ok(None);
        }
        match reading.contents(packet, &beginning)? {
            Contents::Message(message, term) => Ok(Some((message, term).into_pyobject(data.py())?)),
            Contents::Raw(..) => Ok(None),
        }
    }

    fn reading<'a, 'py>(&'a self, data: &'a Any<'py>) -> Outcome<Reading<'a, 'py>> {
        let py = data.py();
        Ok(Reading {
            shared: Shared::get(py)?,
            bytes: data.cast::<PyBytes>().map_err(|_| Stop::Rerun)?,
            longest: self.longest,
            beginnings: &self.beginnings,
            bounds: self.bounds.as_ref().ok_or(Stop::Rerun)?,
            none: self.none.as_ref().map(|none| none.bind(py)),
            limits: self.limits.as_ref().map(|limits| limits.bind(py)),
            records: &self.records,
        })
    }
}

/// What is the same for all packets of a read.
struct Reading<'a, 'py> {
    shared: &'static Shared,
    bytes: &'a Bound<'py, PyBytes>,
    longest: usize,
    beginnings: &'a Beginnings,
    bounds: &'a Bounds,
    none: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
    records: &'a Records,
}

impl<'py> Reading<'_, 'py> {
    /// What the opening stands for, and the term that fills the rest of the packet; or what there is instead
    /// where only the header is known.
    #[inline]
    fn contents(&self, packet: Packet, beginning: &Beginning<'py>) -> Outcome<Contents<'py>> {
        let (found, end) = match beginning {
            Beginning::Opening(opening) => {
                let (term, end) = self.term(packet, packet.terms, &opening.get_item(1)?)?;
                (Contents::Message(opening.get_item(0)?, term), end)
            }
            Beginning::Header(refs) => match self.recorded(packet, refs)? {
                Some(found) => found,
                None => self.behind_header(packet, refs)?,
            },
        };
        if end == packet.end { Ok(found) } else { Err(Stop::Rerun) }
    }

    /// What was made of the tuple behind a header, the term behind that, and where it ends; none if the tuple
    /// is not of a kind that is known by its first bytes.
    #[inline]
    fn recorded(&self, packet: Packet, refs: &Any<'py>) -> Outcome<Option<(Contents<'py>, usize)>> {
        let mut reader = self.reader(packet, packet.terms, refs)?;
        let found = self.records.read(&mut reader)?;
        let is_more = reader.cursor.pos < packet.end;
        match found {
            Some((made, has_term)) if has_term == is_more => {
                let term = if is_more { reader.read()? } else { self.none() };
                Ok(Some((Contents::Message(made, term), reader.cursor.pos)))
            }
            _ => Ok(None),
        }
    }

    /// The tuple behind a header, the term behind that, if any, and where it ends.
    fn behind_header(&self, packet: Packet, refs: &Any<'py>) -> Outcome<(Contents<'py>, usize)> {
        let (first, after) = self.term(packet, packet.terms, refs)?;
        let first = first.cast_into_exact::<PyTuple>().map_err(|_| Stop::Rerun)?;
        let is_more = after != packet.end;
        let made = self.records.make(self.shared, &first, is_more)?;
        if !is_more {
            let found = match made {
                Some(made) => Contents::Message(made, self.none()),
                None => self.raw((packet.start, after, first))?,
            };
            return Ok((found, after));
        }
        let (second, end) = self.term(packet, after, refs)?;
        let found = match made {
            Some(made) => Contents::Message(made, second),
            None => self.raw((packet.start, after, first, second))?,
        };
        Ok((found, end))
    }

    fn none(&self) -> Any<'py> {
        self.bytes.py().None().into_bound(self.bytes.py())
    }

    fn raw(
        &self,
        parts: impl IntoPyObject<'py, Output = Bound<'py, PyTuple>, Error = PyErr>,
    ) -> Outcome<Contents<'py>> {
        Ok(Contents::Raw(self.none(), parts.into_pyobject(self.bytes.py())?.into_any()))
    }

    /// A term of a packet, and where it ends.
    #[inline]
    fn term(&self, packet: Packet, pos: usize, refs: &Any<'py>) -> Outcome<(Any<'py>, usize)> {
        let mut reader = self.reader(packet, pos, refs)?;
        let term = reader.read()?;
        Ok((term, reader.cursor.pos))
    }

    #[inline(always)] // Moving it takes longer than reading a small term.
    fn reader<'b>(&'b self, packet: Packet, pos: usize, refs: &'b Any<'py>) -> Outcome<Reader<'b, 'py>> {
        let data = self.bytes.as_bytes().get(..packet.end).ok_or(Stop::Rerun)?;
        let cursor = Cursor { data, pos };
        Ok(Reader::new(self.shared, self.bytes, cursor, self.bounds, self.limits, self.none, Some(refs)))
    }

    /// The packet at an offset, if all of it is there, and its beginning, if that is known.
    #[inline]
    fn begun(&self, offset: usize) -> Outcome<Option<(Beginning<'py>, Packet)>> {
        let mut cursor = Cursor { data: self.bytes.as_bytes(), pos: offset };
        let Ok(length) = cursor.size() else { return Ok(None) };
        if length > self.longest || length > cursor.left() {
            return Ok(None);
        }
        let (start, end) = (cursor.pos, cursor.pos + length);
        let found = self.beginnings.find(self.bytes.py(), &cursor.data[start..end])?;
        Ok(found.map(|(beginning, size)| (beginning, Packet { start: offset, terms: start + size, end })))
    }
}
