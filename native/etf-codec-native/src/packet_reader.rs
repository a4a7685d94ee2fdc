//! Whole packets, read: those that begin as others did.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};

use smallvec::SmallVec;

use crate::bounds::Bounds;
use crate::cursor::Cursor;
use crate::decode::Options;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;

type Any<'py> = Bound<'py, PyAny>;

/// What precedes the number of atoms in a header, the length of the packet aside.
pub const HEADER_START: [u8; 2] = [tags::VERSION, tags::DIST_HEADER];

/// Openings by their size: the size that a packet had is tried first for the next.
type Sizes<'py> = SmallVec<[(usize, Bound<'py, PyDict>); 2]>;

/// How a packet begins.
enum Beginning<'py> {
    /// With an opening: what it stands for, and the atoms.
    Opening(Bound<'py, PyTuple>),
    /// With a header that lists these atoms.
    Header(Any<'py>),
}

/// What a packet holds.
enum Contents<'py> {
    /// What its opening stands for, or was made of its tuple, and the term.
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
    openings: Py<PyDict>,
    headers: Py<PyDict>,
    records: Py<PyDict>,
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
            openings: openings.clone().unbind(),
            headers: headers.unbind(),
            records: records.unbind(),
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
}

impl PacketReader {
    fn run<'py>(&self, data: &Any<'py>, mut offset: usize) -> Outcome<Bound<'py, PyTuple>> {
        let py = data.py();
        let bounds = self.bounds.as_ref().ok_or(Stop::Rerun)?;
        let bytes = data.cast::<PyBytes>().map_err(|_| Stop::Rerun)?;
        let reading = Reading {
            shared: Shared::get(py)?,
            bytes,
            bounds,
            none: self.none.as_ref().map(|none| none.bind(py)),
            limits: self.limits.as_ref().map(|limits| limits.bind(py)),
            records: self.records.bind(py),
        };
        let mut openings = self.sizes(py)?;
        let headers = self.headers.bind(py);
        let mut found: SmallVec<[(Any<'py>, Any<'py>); 1]> = SmallVec::new();
        let mut raw = 0;
        while let Some((beginning, packet)) = begun(bytes, offset, self.longest, &mut openings, headers)? {
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

    fn sizes<'py>(&self, py: Python<'py>) -> Outcome<Sizes<'py>> {
        let by_size = self.openings.bind(py);
        let mut openings = SmallVec::new();
        for (size, known) in by_size {
            openings.push((size.extract()?, known.cast_into::<PyDict>().map_err(|_| Stop::Rerun)?));
        }
        Ok(openings)
    }
}

/// What is the same for all packets of a read.
struct Reading<'a, 'py> {
    shared: &'static Shared,
    bytes: &'a Bound<'py, PyBytes>,
    bounds: &'a Bounds,
    none: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
    records: &'a Bound<'py, PyDict>,
}

impl<'py> Reading<'_, 'py> {
    /// What the opening stands for, and the term that fills the rest of the packet; or what there is instead
    /// where only the header is known.
    #[inline]
    fn contents(&self, packet: Packet, beginning: &Beginning<'py>) -> Outcome<Contents<'py>> {
        let py = self.bytes.py();
        let (found, end) = match beginning {
            Beginning::Opening(opening) => {
                let (term, end) = self.term(packet, packet.terms, &opening.get_item(1)?)?;
                (Contents::Message(opening.get_item(0)?, term), end)
            }
            Beginning::Header(refs) => {
                let (first, after) = self.term(packet, packet.terms, refs)?;
                let first = first.cast_into_exact::<PyTuple>().map_err(|_| Stop::Rerun)?;
                let raw = |parts| Contents::Raw(py.None().into_bound(py), parts);
                if after == packet.end {
                    (raw((packet.start, after, first).into_pyobject(py)?.into_any()), after)
                } else {
                    let (second, end) = self.term(packet, after, refs)?;
                    match self.record(&first)? {
                        Some(made) => (Contents::Message(made, second), end),
                        None => {
                            (raw((packet.start, after, first, second).into_pyobject(py)?.into_any()), end)
                        }
                    }
                }
            }
        };
        if end == packet.end { Ok(found) } else { Err(Stop::Rerun) }
    }

    /// A term of a packet, and where it ends.
    #[inline]
    fn term(&self, packet: Packet, pos: usize, refs: &Any<'py>) -> Outcome<(Any<'py>, usize)> {
        let data = self.bytes.as_bytes().get(..packet.end).ok_or(Stop::Rerun)?;
        let cursor = Cursor { data, pos };
        let mut reader =
            Reader::new(self.shared, self.bytes, cursor, self.bounds, self.limits, self.none, Some(refs));
        let term = reader.read()?;
        Ok((term, reader.cursor.pos))
    }

    /// What is to be made of a tuple, if anything.
    #[inline]
    fn record(&self, tuple: &Bound<'py, PyTuple>) -> Outcome<Option<Any<'py>>> {
        let Ok(first) = tuple.get_borrowed_item(0) else { return Ok(None) };
        if !first.is_exact_instance_of::<PyInt>() {
            return Ok(None);
        }
        let Some(known) = self.records.get_item(first)? else { return Ok(None) };
        let known = known.cast::<PyTuple>().map_err(|_| Stop::Rerun)?;
        let (names, types) = (known.get_borrowed_item(1)?, known.get_borrowed_item(2)?);
        let names = names.cast::<PyTuple>().map_err(|_| Stop::Rerun)?;
        let types = types.cast::<PyTuple>().map_err(|_| Stop::Rerun)?;
        let fields = || tuple.iter_borrowed().skip(1);
        let fit = tuple.len() == types.len() + 1
            && fields().zip(types.iter_borrowed()).all(|(field, kind)| field.get_type().is(kind));
        if !fit {
            return Ok(None);
        }
        let made = self.shared.new_object.bind(tuple.py()).call1((known.get_borrowed_item(0)?,))?;
        for (name, field) in names.iter_borrowed().zip(fields()) {
            made.setattr(name.cast::<PyString>().map_err(|_| Stop::Rerun)?, field)?;
        }
        Ok(Some(made))
    }
}

/// The packet at an offset, if all of it is there, and its beginning, if that is known.
#[inline]
fn begun<'py>(
    bytes: &Bound<'py, PyBytes>,
    offset: usize,
    longest: usize,
    openings: &mut Sizes<'py>,
    headers: &Bound<'py, PyDict>,
) -> Outcome<Option<(Beginning<'py>, Packet)>> {
    let mut cursor = Cursor { data: bytes.as_bytes(), pos: offset };
    let Ok(length) = cursor.size() else { return Ok(None) };
    if length > longest || length > cursor.left() {
        return Ok(None);
    }
    let body = &cursor.data[cursor.pos..cursor.pos + length];
    let packet = |size| Packet { start: offset, terms: cursor.pos + size, end: cursor.pos + length };
    for index in 0..openings.len() {
        let (size, contents) = &openings[index];
        let Some(opening) = body.get(..*size) else { continue };
        let Some(opening) = contents.get_item(PyBytes::new(bytes.py(), opening))? else { continue };
        let found = packet(*size);
        openings.swap(0, index);
        let opening = opening.cast_into().map_err(|_| Stop::Rerun)?;
        return Ok(Some((Beginning::Opening(opening), found)));
    }
    let Some((header, size)) = header(body) else { return Ok(None) };
    let refs = headers.get_item(PyBytes::new(bytes.py(), header))?;
    Ok(refs.map(|refs| (Beginning::Header(refs), packet(size))))
}

/// The header that a packet has if none of its entries is new, and where its terms start then.
#[inline]
fn header(body: &[u8]) -> Option<(&[u8], usize)> {
    let rest = body.strip_prefix(&HEADER_START)?;
    let count = usize::from(*rest.first()?);
    let size = 2 + count / 2 + count;
    Some((rest.get(..size)?, HEADER_START.len() + size))
}
