//! Bytes to terms: the three functions, and what their options mean.

use std::ops::Range;

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyTuple};

use crate::bounds::Bounds;
use crate::cursor::Cursor;
use crate::reader::{Part, Reader};
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;

/// A large buffer that is not `bytes` is read through copies of parts of it: this much at first, and each
/// time a term turns out to be longer, so much more.
const FIRST_WINDOW: usize = 16 * 1024;
const WINDOW_GROWTH: usize = 8;

type Any<'py> = Bound<'py, PyAny>;

/// The options of a call as they were given; `None` is an option left out.
#[derive(Clone, Copy)]
pub struct Options<'a, 'py> {
    pub binaries: Option<&'a Any<'py>>,
    pub none: Option<&'a Any<'py>>,
    pub atoms: Option<&'a Any<'py>>,
    pub copy_binaries: Option<&'a Any<'py>>,
    pub limits: Option<&'a Any<'py>>,
}

impl<'py> Options<'_, 'py> {
    /// The bounds, if they are not the default ones; it stops if native code does not have these options.
    #[inline]
    pub fn own_bounds(&mut self, shared: &Shared, py: Python<'py>) -> Outcome<Option<Bounds>> {
        let bytes = match self.binaries {
            Some(binaries) => binaries.eq(intern!(py, "bytes"))?,
            None => true,
        };
        let copies = self.copy_binaries.map_or(Ok(true), PyAnyMethods::is_truthy)?;
        let named = self.none.is_none_or(|none| none.get_type().is(&shared.atom));
        if self.atoms.is_some() || !bytes || !copies || !named {
            return Err(Stop::Rerun);
        }
        self.limits = self.limits.filter(|limits| !limits.is(&shared.default_limits));
        Ok(self.limits.map(Bounds::read).transpose()?)
    }

    /// The same options for the Python codec.
    pub fn keywords(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        let given = [
            ("binaries", self.binaries),
            ("none", self.none),
            ("atoms", self.atoms),
            ("copy_binaries", self.copy_binaries),
            ("limits", self.limits),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                keywords.set_item(name, value)?;
            }
        }
        Ok(keywords)
    }
}

/// Read one term from an input that holds nothing else. See the Python codec for the options and errors.
#[pyfunction]
#[pyo3(signature = (data, *, binaries=None, none=None, atoms=None, copy_binaries=None, limits=None))]
#[pyo3(
    text_signature = "(data, *, binaries='bytes', none=None, atoms=None, copy_binaries=True, limits=Limits())"
)]
pub fn decode<'a, 'py>(
    data: &'a Any<'py>,
    binaries: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    atoms: Option<&'a Any<'py>>,
    copy_binaries: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries, none, atoms, copy_binaries, limits };
    or_python(whole(shared, data, &mut options), || {
        shared.decoder.bind(py).call_method("decode", (data,), Some(&options.keywords(py)?))
    })
}

fn whole<'py>(shared: &'static Shared, data: &Any<'py>, options: &mut Options<'_, 'py>) -> Outcome<Any<'py>> {
    let own_bounds = options.own_bounds(shared, data.py())?;
    let bounds = own_bounds.as_ref().unwrap_or(&shared.default_bounds);
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return all_of(shared, bytes, 0..bytes.as_bytes().len(), bounds, options);
    }
    if let Some((bytes, range)) = bytes_behind(data)? {
        return all_of(shared, &bytes, range, bounds, options);
    }
    let copied = copy(&view(data)?)?;
    all_of(shared, &copied, 0..copied.as_bytes().len(), bounds, options)
}

fn all_of<'py>(
    shared: &'static Shared,
    bytes: &Bound<'py, PyBytes>,
    range: Range<usize>,
    bounds: &Bounds,
    options: &Options<'_, 'py>,
) -> Outcome<Any<'py>> {
    if range.len() > bounds.bytes {
        return Err(Stop::Rerun);
    }
    let (term, end) = read_in(shared, bytes, range.clone(), bounds, options, Form::Versioned)?;
    if end == range.end { Ok(term) } else { Err(Stop::Rerun) }
}

/// Read the term that starts at `offset`, whatever follows it: the term, and the offset behind it.
#[pyfunction]
#[pyo3(signature = (data, offset=0, *, binaries=None, none=None, atoms=None, copy_binaries=None, limits=None))]
#[pyo3(text_signature = "(data, offset=0, *, binaries='bytes', none=None, atoms=None, copy_binaries=True, \
                         limits=Limits())")]
pub fn decode_prefix<'a, 'py>(
    data: &'a Any<'py>,
    offset: isize,
    binaries: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    atoms: Option<&'a Any<'py>>,
    copy_binaries: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries, none, atoms, copy_binaries, limits };
    or_python(part(shared, data, offset, &mut options, Form::Versioned), || {
        let keywords = options.keywords(py)?;
        let read = shared.decoder.bind(py).call_method("decode_prefix", (data, offset), Some(&keywords))?;
        Ok(read.cast_into::<PyTuple>()?)
    })
}

/// Read a term as it stands behind a distribution header: no version byte, but atom cache references.
#[pyfunction]
#[pyo3(signature = (data, offset=0, *, rest=None, atom_refs=None, binaries=None, none=None, atoms=None, copy_binaries=None, limits=None))]
#[pyo3(text_signature = "(data, offset=0, *, rest=(), atom_refs=(), binaries='bytes', none=None, \
                         atoms=None, copy_binaries=True, limits=Limits())")]
#[allow(clippy::too_many_arguments)] // They are those of the Python function.
pub fn decode_bare<'a, 'py>(
    data: &'a Any<'py>,
    offset: isize,
    rest: Option<&'a Any<'py>>,
    atom_refs: Option<&'a Any<'py>>,
    binaries: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    atoms: Option<&'a Any<'py>>,
    copy_binaries: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries, none, atoms, copy_binaries, limits };
    let joined;
    let mut data = data;
    if let Some(rest) = rest {
        if rest.len()? > 0 {
            match in_parts(shared, data, offset, rest, &mut options, atom_refs) {
                Err(Stop::Rerun) => joined = join(data, rest)?,
                Err(Stop::Raise(error)) => return Err(error),
                Ok(read) => return Ok(read),
            }
            data = &joined;
        }
    }
    or_python(part(shared, data, offset, &mut options, Form::Bare(atom_refs)), || {
        let keywords = options.keywords(py)?;
        if let Some(atom_refs) = atom_refs {
            keywords.set_item("atom_refs", atom_refs)?;
        }
        let read = shared.decoder.bind(py).call_method("decode_bare", (data, offset), Some(&keywords))?;
        Ok(read.cast_into::<PyTuple>()?)
    })
}

/// A term whose large binaries may go on in the parts behind `data`; of other terms it is not worth while.
fn in_parts<'py>(
    shared: &'static Shared,
    data: &Any<'py>,
    offset: isize,
    rest: &Any<'py>,
    options: &mut Options<'_, 'py>,
    atom_refs: Option<&Any<'py>>,
) -> Outcome<Bound<'py, PyTuple>> {
    let py = data.py();
    let own_bounds = options.own_bounds(shared, py)?;
    let bounds = own_bounds.as_ref().unwrap_or(&shared.default_bounds);
    let (bytes, Range { start, end }) = bytes_of(data)?;
    let offset = usize::try_from(offset).map_err(|_| Stop::Rerun)?;
    let cursor = Cursor {
        data: bytes.as_bytes().get(..end).ok_or(Stop::Rerun)?,
        pos: start.checked_add(offset).ok_or(Stop::Rerun)?,
    };
    let parts = rest.try_iter()?.map(|part| Part::new(part?)).collect::<PyResult<Vec<_>>>()?;
    let mut reader = Reader::new(shared, &bytes, cursor, bounds, options.limits, options.none, atom_refs);
    reader.rest = &parts;
    let term = reader.read()?;
    Ok((term, reader.passed + reader.cursor.pos - start).into_pyobject(py)?)
}

pub fn bytes_of<'py>(data: &Any<'py>) -> Outcome<(Bound<'py, PyBytes>, Range<usize>)> {
    match data.cast::<PyBytes>() {
        Ok(bytes) => Ok((bytes.clone(), 0..bytes.as_bytes().len())),
        Err(_) => bytes_behind(data)?.ok_or(Stop::Rerun),
    }
}

fn join<'py>(data: &Any<'py>, rest: &Any<'py>) -> PyResult<Any<'py>> {
    let parts = PyList::new(data.py(), [data])?;
    parts.call_method1(intern!(data.py(), "extend"), (rest,))?;
    PyBytes::new(data.py(), b"").call_method1(intern!(data.py(), "join"), (parts,))
}

/// What precedes a term.
#[derive(Clone, Copy)]
enum Form<'a, 'py> {
    /// The version byte. `max_bytes` then bounds the term.
    Versioned,
    /// A distribution header, which lists atoms; its packet was bounded before.
    Bare(Option<&'a Any<'py>>),
}

fn part<'py>(
    shared: &'static Shared,
    data: &Any<'py>,
    offset: isize,
    options: &mut Options<'_, 'py>,
    form: Form<'_, 'py>,
) -> Outcome<Bound<'py, PyTuple>> {
    let py = data.py();
    let own_bounds = options.own_bounds(shared, py)?;
    let bounds = own_bounds.as_ref().unwrap_or(&shared.default_bounds);
    let offset = usize::try_from(offset).map_err(|_| Stop::Rerun)?;
    let (term, end) = if let Ok(bytes) = data.cast::<PyBytes>() {
        read_in(shared, bytes, offset..bytes.as_bytes().len(), bounds, options, form)?
    } else if let Some((bytes, Range { start, end })) = bytes_behind(data)? {
        let first = start.checked_add(offset).ok_or(Stop::Rerun)?;
        let (term, end) = read_in(shared, &bytes, first..end, bounds, options, form)?;
        (term, end - start)
    } else {
        through_windows(shared, &view(data)?, offset, bounds, options, form)?
    };
    if matches!(form, Form::Versioned) && end - offset > bounds.bytes {
        return Err(Stop::Rerun);
    }
    Ok((term, end).into_pyobject(py)?)
}

/// What a view shows, if that is a part of `bytes`, which can be read in place.
fn bytes_behind<'py>(data: &Any<'py>) -> Outcome<Option<(Bound<'py, PyBytes>, Range<usize>)>> {
    if !data.is_exact_instance_of::<PyMemoryView>() {
        return Ok(None);
    }
    let Ok(bytes) = data.getattr(intern!(data.py(), "obj"))?.cast_into_exact::<PyBytes>() else {
        return Ok(None);
    };
    let Ok(shown) = PyBuffer::<u8>::get(data) else { return Ok(None) };
    let start = shown.buf_ptr().addr().wrapping_sub(bytes.as_bytes().as_ptr().addr());
    let end = start.wrapping_add(shown.len_bytes());
    // A view of every second byte, or of numbers, is another matter.
    Ok((shown.is_c_contiguous() && end <= bytes.as_bytes().len()).then_some((bytes, start..end)))
}

/// The term at an offset of a buffer that may be long, and the offset behind it.
fn through_windows<'py>(
    shared: &'static Shared,
    view: &Any<'py>,
    offset: usize,
    bounds: &Bounds,
    options: &Options<'_, 'py>,
    form: Form<'_, 'py>,
) -> Outcome<(Any<'py>, usize)> {
    let py = view.py();
    let whole = view.len()?;
    let mut size = FIRST_WINDOW;
    loop {
        let end = offset.saturating_add(size).min(whole);
        let slice = pyo3::types::PySlice::new(py, to_index(offset)?, to_index(end)?, 1);
        let window = copy(&view.get_item(slice)?)?;
        match read_in(shared, &window, 0..window.as_bytes().len(), bounds, options, form) {
            Err(Stop::Rerun) if end < whole => size = size.saturating_mul(WINDOW_GROWTH),
            outcome => return outcome.map(|(term, size)| (term, offset + size)),
        }
    }
}

fn to_index(offset: usize) -> Outcome<isize> {
    isize::try_from(offset).map_err(|_| Stop::Rerun)
}

/// The term at the start of a range, and the offset behind it.
fn read_in<'py>(
    shared: &'static Shared,
    bytes: &Bound<'py, PyBytes>,
    range: Range<usize>,
    bounds: &Bounds,
    options: &Options<'_, 'py>,
    form: Form<'_, 'py>,
) -> Outcome<(Any<'py>, usize)> {
    let refs = if let Form::Bare(refs) = form { refs } else { None };
    let data = bytes.as_bytes().get(..range.end).ok_or(Stop::Rerun)?;
    let cursor = Cursor { data, pos: range.start };
    let mut reader = Reader::new(shared, bytes, cursor, bounds, options.limits, options.none, refs);
    if let Form::Versioned = form {
        skip_version(&mut reader)?;
    }
    let term = reader.read()?;
    Ok((term, reader.cursor.pos))
}

/// Compressed and local terms are rare, and Python's.
#[inline]
fn skip_version(reader: &mut Reader<'_, '_>) -> Outcome<()> {
    let version = reader.cursor.u8()?;
    let tag = reader.cursor.peek()?;
    if version != tags::VERSION || tag == tags::COMPRESSED || tag == tags::LOCAL_EXT {
        return Err(Stop::Rerun);
    }
    Ok(())
}

/// A buffer as bytes to slice.
fn view<'py>(data: &Any<'py>) -> Outcome<Any<'py>> {
    let py = data.py();
    let view = PyMemoryView::from(data)?.into_any();
    if view.getattr(intern!(py, "c_contiguous"))?.is_truthy()? {
        return Ok(view.call_method1(intern!(py, "cast"), ("B",))?);
    }
    let flat = view.call_method0(intern!(py, "tobytes"))?;
    Ok(PyMemoryView::from(&flat)?.into_any())
}

fn copy<'py>(view: &Any<'py>) -> Outcome<Bound<'py, PyBytes>> {
    let copied = view.call_method0(intern!(view.py(), "tobytes"))?;
    copied.cast_into::<PyBytes>().map_err(|_| Stop::Rerun)
}
