//! A whole read at once: the packets of which all but the term at their end was seen before.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::bounds::Bounds;
use crate::cursor::Cursor;
use crate::decode::Options;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};

type Any<'py> = Bound<'py, PyAny>;

/// Openings by their size: the size that a packet had is tried first for the next.
type Sizes<'py> = Vec<(usize, Bound<'py, PyDict>)>;

/// Read packets of which all but the term at their end was seen before, in one call for a whole read.
#[pyfunction]
#[pyo3(signature = (data, offset, openings, *, max_packet_bytes, none=None, limits=None))]
#[pyo3(text_signature = "(data, offset, openings, *, max_packet_bytes, none=None, limits=Limits())")]
pub fn decode_packets<'a, 'py>(
    data: &'a Any<'py>,
    offset: usize,
    openings: &'a Any<'py>,
    max_packet_bytes: &'a Any<'py>,
    none: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries: None, none, atoms: None, copy_binaries: None, limits };
    or_python(run(shared, data, offset, openings, max_packet_bytes, &mut options), || {
        let keywords = options.keywords(py)?;
        keywords.set_item("max_packet_bytes", max_packet_bytes)?;
        let arguments = (data, offset, openings);
        let read = shared.decoder.bind(py).call_method("decode_packets", arguments, Some(&keywords))?;
        Ok(read.cast_into::<PyTuple>()?)
    })
}

fn run<'py>(
    shared: &'static Shared,
    data: &Any<'py>,
    mut offset: usize,
    openings: &Any<'py>,
    max_packet_bytes: &Any<'py>,
    options: &mut Options<'_, 'py>,
) -> Outcome<Bound<'py, PyTuple>> {
    let py = data.py();
    let own_bounds = options.own_bounds(shared, py)?;
    let bounds = own_bounds.as_ref().unwrap_or(&shared.default_bounds);
    let bytes = data.cast::<PyBytes>().map_err(|_| Stop::Rerun)?;
    let longest = max_packet_bytes.extract()?;
    let mut sizes = by_size(openings)?;
    let mut found: Vec<(Any<'py>, Any<'py>)> = Vec::new();
    while let Some((opening, packet)) = opened(bytes, offset, longest, &mut sizes)? {
        match term(shared, bytes, packet, &opening, bounds, options) {
            Ok((stands_for, term)) => found.push((stands_for, term)),
            Err(Stop::Rerun) => break,
            Err(raised) => return Err(raised),
        }
        offset = packet.end;
    }
    Ok((PyList::new(py, found)?, offset).into_pyobject(py)?)
}

fn by_size<'py>(openings: &Any<'py>) -> Outcome<Sizes<'py>> {
    let openings = openings.cast::<PyDict>().map_err(|_| Stop::Rerun)?;
    let mut sizes = Vec::with_capacity(openings.len());
    for (size, known) in openings {
        sizes.push((size.extract()?, known.cast_into().map_err(|_| Stop::Rerun)?));
    }
    Ok(sizes)
}

/// Where the term of a packet starts, and where both end.
#[derive(Clone, Copy)]
struct Packet {
    term: usize,
    end: usize,
}

/// The packet at an offset, if all of it is there, and its opening, if that is known.
#[inline]
fn opened<'py>(
    bytes: &Bound<'py, PyBytes>,
    offset: usize,
    longest: usize,
    sizes: &mut Sizes<'py>,
) -> Outcome<Option<(Bound<'py, PyTuple>, Packet)>> {
    let mut cursor = Cursor { data: bytes.as_bytes(), pos: offset };
    let Ok(length) = cursor.size() else { return Ok(None) };
    if length > longest || length > cursor.left() {
        return Ok(None);
    }
    let end = cursor.pos + length;
    for index in 0..sizes.len() {
        let (size, known) = &sizes[index];
        if *size > length {
            continue;
        }
        let term = cursor.pos + size;
        let Some(opening) = known.get_item(PyBytes::new(bytes.py(), &cursor.data[cursor.pos..term]))? else {
            continue;
        };
        sizes.swap(0, index);
        let opening = opening.cast_into().map_err(|_| Stop::Rerun)?;
        return Ok(Some((opening, Packet { term, end })));
    }
    Ok(None)
}

/// What the opening stands for, and the term that fills the rest of the packet.
#[inline]
fn term<'py>(
    shared: &'static Shared,
    bytes: &Bound<'py, PyBytes>,
    packet: Packet,
    opening: &Bound<'py, PyTuple>,
    bounds: &Bounds,
    options: &Options<'_, 'py>,
) -> Outcome<(Any<'py>, Any<'py>)> {
    let refs = opening.get_item(1)?;
    let data = bytes.as_bytes().get(..packet.end).ok_or(Stop::Rerun)?;
    let cursor = Cursor { data, pos: packet.term };
    let mut reader = Reader::new(shared, bytes, cursor, bounds, options.limits, options.none, Some(&refs));
    let term = reader.read()?;
    if reader.cursor.pos == packet.end { Ok((opening.get_item(0)?, term)) } else { Err(Stop::Rerun) }
}
