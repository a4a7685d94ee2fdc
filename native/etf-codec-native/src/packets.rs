//! Whole packets: a read of those that begin as others did, and the one that a message is sent in.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::bounds::Bounds;
use crate::cursor::Cursor;
use crate::decode::Options;
use crate::encode;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;
use crate::writer::Writer;

type Any<'py> = Bound<'py, PyAny>;

/// What precedes the number of atoms in a header, the length of the packet aside.
const HEADER_START: [u8; 2] = [tags::VERSION, tags::DIST_HEADER];

/// The length of a packet, and the start of its header.
const START_BYTES: usize = 4 + HEADER_START.len();

/// Openings by their size: the size that a packet had is tried first for the next.
type Sizes<'py> = Vec<(usize, Bound<'py, PyDict>)>;

/// How packets may begin.
struct Beginnings<'py> {
    openings: Sizes<'py>,
    headers: Option<Bound<'py, PyDict>>,
}

/// How a packet begins.
enum Beginning<'py> {
    /// With an opening: what it stands for, and the atoms.
    Opening(Bound<'py, PyTuple>),
    /// With a header that lists these atoms.
    Header(Any<'py>),
}

/// Where a packet starts, its terms start, and it ends.
#[derive(Clone, Copy)]
struct Packet {
    start: usize,
    terms: usize,
    end: usize,
}

/// Read packets that begin as others did before, in one call for a whole read.
#[pyfunction]
#[pyo3(signature = (data, offset, openings, max_packet_bytes, headers=None, *, none=None, limits=None))]
#[pyo3(
    text_signature = "(data, offset, openings, max_packet_bytes, headers={}, *, none=None, limits=Limits())"
)]
pub fn decode_packets<'a, 'py>(
    data: &'a Any<'py>,
    offset: usize,
    openings: &'a Any<'py>,
    max_packet_bytes: &'a Any<'py>,
    headers: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries: None, none, atoms: None, copy_binaries: None, limits };
    let read = beginnings(openings, headers)
        .and_then(|known| run(shared, data, offset, known, max_packet_bytes, &mut options));
    or_python(read, || {
        let keywords = options.keywords(py)?;
        if let Some(headers) = headers {
            keywords.set_item("headers", headers)?;
        }
        let arguments = (data, offset, openings, max_packet_bytes);
        let read = shared.decoder.bind(py).call_method("decode_packets", arguments, Some(&keywords))?;
        Ok(read.cast_into::<PyTuple>()?)
    })
}

fn beginnings<'py>(openings: &Any<'py>, headers: Option<&Any<'py>>) -> Outcome<Beginnings<'py>> {
    let dict = |any: &Any<'py>| any.cast::<PyDict>().cloned().map_err(|_| Stop::Rerun);
    let by_size = dict(openings)?;
    let mut openings = Vec::with_capacity(by_size.len());
    for (size, known) in by_size {
        openings.push((size.extract()?, dict(&known)?));
    }
    Ok(Beginnings { openings, headers: headers.map(dict).transpose()? })
}

fn run<'py>(
    shared: &'static Shared,
    data: &Any<'py>,
    mut offset: usize,
    mut known: Beginnings<'py>,
    max_packet_bytes: &Any<'py>,
    options: &mut Options<'_, 'py>,
) -> Outcome<Bound<'py, PyTuple>> {
    let py = data.py();
    let own_bounds = options.own_bounds(shared, py)?;
    let bounds = own_bounds.as_ref().unwrap_or(&shared.default_bounds);
    let bytes = data.cast::<PyBytes>().map_err(|_| Stop::Rerun)?;
    let longest = max_packet_bytes.extract()?;
    let mut found: Vec<(Any<'py>, Any<'py>)> = Vec::new();
    while let Some((beginning, packet)) = begun(bytes, offset, longest, &mut known)? {
        match terms(shared, bytes, packet, &beginning, bounds, options) {
            Ok(read) => found.push(read),
            Err(Stop::Rerun) => break,
            Err(raised) => return Err(raised),
        }
        offset = packet.end;
    }
    Ok((PyList::new(py, found)?, offset).into_pyobject(py)?)
}

/// The packet at an offset, if all of it is there, and its beginning, if that is known.
#[inline]
fn begun<'py>(
    bytes: &Bound<'py, PyBytes>,
    offset: usize,
    longest: usize,
    known: &mut Beginnings<'py>,
) -> Outcome<Option<(Beginning<'py>, Packet)>> {
    let mut cursor = Cursor { data: bytes.as_bytes(), pos: offset };
    let Ok(length) = cursor.size() else { return Ok(None) };
    if length > longest || length > cursor.left() {
        return Ok(None);
    }
    let body = &cursor.data[cursor.pos..cursor.pos + length];
    let packet = |size| Packet { start: offset, terms: cursor.pos + size, end: cursor.pos + length };
    for index in 0..known.openings.len() {
        let (size, contents) = &known.openings[index];
        let Some(opening) = body.get(..*size) else { continue };
        let Some(opening) = contents.get_item(PyBytes::new(bytes.py(), opening))? else { continue };
        let found = packet(*size);
        known.openings.swap(0, index);
        let opening = opening.cast_into().map_err(|_| Stop::Rerun)?;
        return Ok(Some((Beginning::Opening(opening), found)));
    }
    let Some((headers, (header, size))) = known.headers.as_ref().zip(header(body)) else { return Ok(None) };
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

/// What the opening stands for, and the term that fills the rest of the packet; or what there is instead where
/// only the header is known.
#[inline]
fn terms<'py>(
    shared: &'static Shared,
    bytes: &Bound<'py, PyBytes>,
    packet: Packet,
    beginning: &Beginning<'py>,
    bounds: &Bounds,
    options: &Options<'_, 'py>,
) -> Outcome<(Any<'py>, Any<'py>)> {
    let py = bytes.py();
    let data = bytes.as_bytes().get(..packet.end).ok_or(Stop::Rerun)?;
    let term = |refs, pos| {
        let cursor = Cursor { data, pos };
        let mut reader = Reader::new(shared, bytes, cursor, bounds, options.limits, options.none, Some(refs));
        let term = reader.read()?;
        Ok::<_, Stop>((term, reader.cursor.pos))
    };
    let (found, end) = match beginning {
        Beginning::Opening(opening) => {
            let (term, end) = term(&opening.get_item(1)?, packet.terms)?;
            ((opening.get_item(0)?, term), end)
        }
        Beginning::Header(refs) => {
            let (first, after) = term(refs, packet.terms)?;
            if !first.is_exact_instance_of::<PyTuple>() {
                return Err(Stop::Rerun);
            }
            let none = py.None().into_bound(py);
            if after == packet.end {
                ((none, (packet.start, after, first).into_pyobject(py)?.into_any()), after)
            } else {
                let (second, end) = term(refs, after)?;
                ((none, (packet.start, after, first, second).into_pyobject(py)?.into_any()), end)
            }
        }
    };
    if end == packet.end { Ok(found) } else { Err(Stop::Rerun) }
}

/// Write terms as a whole packet, if the header for their atoms is known; otherwise as `encode_referring` does.
#[pyfunction]
#[pyo3(signature = (terms, headers, max_bytes, *, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(
    text_signature = "(terms, headers, max_bytes, *, none=None, legacy_identifiers=False, limits=Limits())"
)]
pub fn encode_packet<'a, 'py>(
    terms: &'a Any<'py>,
    headers: &'a Any<'py>,
    max_bytes: &'a Any<'py>,
    none: Option<&'a Any<'py>>,
    legacy_identifiers: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = terms.py();
    let shared = Shared::get(py)?;
    let options = encode::Options { compressed: None, deterministic: None, none, legacy_identifiers, limits };
    let terms = encode::in_tuple(terms)?;
    let finish = |writer: &Writer<'_, 'py>, atoms: Bound<'py, PyTuple>| {
        if writer.out.is_plain() && writer.out.len() <= max_bytes.extract()? {
            if let Some(header) = headers.cast::<PyDict>()?.get_item(&atoms)? {
                return Ok(packed(py, header.cast::<PyBytes>()?.as_bytes(), &writer.out.bytes)?.into_any());
            }
        }
        Ok((atoms, writer.out.parts(py)?).into_pyobject(py)?.into_any())
    };
    or_python(encode::referring(shared, &options, &terms, finish), || {
        let keywords = options.keywords(py)?;
        shared.encoder.bind(py).call_method("encode_packet", (&terms, headers, max_bytes), Some(&keywords))
    })
}

/// A packet of a header and what refers to it.
fn packed<'py>(py: Python<'py>, header: &[u8], terms: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let length = u32::try_from(HEADER_START.len() + header.len() + terms.len())?;
    PyBytes::new_with(py, START_BYTES + header.len() + terms.len(), |packet| {
        let (start, rest) = packet.split_at_mut(START_BYTES);
        start[..4].copy_from_slice(&length.to_be_bytes());
        start[4..].copy_from_slice(&HEADER_START);
        let (place, rest) = rest.split_at_mut(header.len());
        place.copy_from_slice(header);
        rest.copy_from_slice(terms);
        Ok(())
    })
}
