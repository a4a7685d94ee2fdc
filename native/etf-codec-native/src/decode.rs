//! Bytes to terms: the three functions, and what their options mean.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyTuple};

use crate::bounds::Bounds;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;

/// A large buffer that is not `bytes` is read through copies of parts of it: this much at first, and each
/// time a term turns out to be longer, so much more.
const FIRST_WINDOW: usize = 16 * 1024;
const WINDOW_GROWTH: usize = 8;

type Any<'py> = Bound<'py, PyAny>;

/// The options of a call as they were given; `None` is an option left out.
struct Options<'py> {
    binaries: Option<Any<'py>>,
    none: Option<Any<'py>>,
    atoms: Option<Any<'py>>,
    copy_binaries: Option<Any<'py>>,
    limits: Option<Any<'py>>,
}

impl<'py> Options<'py> {
    /// The bounds, if native code has these options.
    #[inline]
    fn bounds(&mut self, shared: &Shared, py: Python<'py>) -> Outcome<Bounds> {
        let bytes = match &self.binaries {
            Some(binaries) => binaries.eq(intern!(py, "bytes"))?,
            None => true,
        };
        let copies = self.copy_binaries.as_ref().map_or(Ok(true), PyAnyMethods::is_truthy)?;
        let named = self.none.as_ref().is_none_or(|none| none.get_type().is(&shared.atom));
        if self.atoms.is_some() || !bytes || !copies || !named {
            return Err(Stop::Rerun);
        }
        match self.limits.take_if(|limits| limits.is(&shared.default_limits)) {
            Some(_) => Ok(shared.default_bounds),
            None => {
                self.limits.as_ref().map_or(Ok(shared.default_bounds), |limits| Ok(Bounds::read(limits)?))
            }
        }
    }

    /// The same options for the Python codec.
    fn keywords(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        let given = [
            ("binaries", &self.binaries),
            ("none", &self.none),
            ("atoms", &self.atoms),
            ("copy_binaries", &self.copy_binaries),
            ("limits", &self.limits),
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
pub fn decode<'py>(
    data: &Any<'py>,
    binaries: Option<Any<'py>>,
    none: Option<Any<'py>>,
    atoms: Option<Any<'py>>,
    copy_binaries: Option<Any<'py>>,
    limits: Option<Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries, none, atoms, copy_binaries, limits };
    or_python(whole(shared, data, &mut options), || {
        shared.decoder.bind(py).call_method("decode", (data,), Some(&options.keywords(py)?))
    })
}

fn whole<'py>(shared: &'static Shared, data: &Any<'py>, options: &mut Options<'py>) -> Outcome<Any<'py>> {
    let bounds = options.bounds(shared, data.py())?;
    let copied;
    let input = match data.cast::<PyBytes>() {
        Ok(bytes) => bytes,
        Err(_) => {
            copied = copy(&view(data)?)?;
            &copied
        }
    };
    if input.as_bytes().len() > bounds.bytes {
        return Err(Stop::Rerun);
    }
    let mut reader = Reader::new(shared, input, bounds, options.limits.as_ref(), options.none.as_ref(), None);
    skip_version(&mut reader)?;
    let term = reader.read()?;
    if reader.cursor.left() == 0 { Ok(term) } else { Err(Stop::Rerun) }
}

/// Read the term that starts at `offset`, whatever follows it: the term, and the offset behind it.
#[pyfunction]
#[pyo3(signature = (data, offset=0, *, binaries=None, none=None, atoms=None, copy_binaries=None, limits=None))]
#[pyo3(text_signature = "(data, offset=0, *, binaries='bytes', none=None, atoms=None, copy_binaries=True, \
                         limits=Limits())")]
pub fn decode_prefix<'py>(
    data: &Any<'py>,
    offset: isize,
    binaries: Option<Any<'py>>,
    none: Option<Any<'py>>,
    atoms: Option<Any<'py>>,
    copy_binaries: Option<Any<'py>>,
    limits: Option<Any<'py>>,
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
#[pyo3(signature = (data, offset=0, *, atom_refs=None, binaries=None, none=None, atoms=None, copy_binaries=None, limits=None))]
#[pyo3(text_signature = "(data, offset=0, *, atom_refs=(), binaries='bytes', none=None, atoms=None, \
                         copy_binaries=True, limits=Limits())")]
#[allow(clippy::too_many_arguments)] // They are those of the Python function.
pub fn decode_bare<'py>(
    data: &Any<'py>,
    offset: isize,
    atom_refs: Option<Any<'py>>,
    binaries: Option<Any<'py>>,
    none: Option<Any<'py>>,
    atoms: Option<Any<'py>>,
    copy_binaries: Option<Any<'py>>,
    limits: Option<Any<'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = data.py();
    let shared = Shared::get(py)?;
    let mut options = Options { binaries, none, atoms, copy_binaries, limits };
    or_python(part(shared, data, offset, &mut options, Form::Bare(atom_refs.as_ref())), || {
        let keywords = options.keywords(py)?;
        if let Some(atom_refs) = &atom_refs {
            keywords.set_item("atom_refs", atom_refs)?;
        }
        let read = shared.decoder.bind(py).call_method("decode_bare", (data, offset), Some(&keywords))?;
        Ok(read.cast_into::<PyTuple>()?)
    })
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
    options: &mut Options<'py>,
    form: Form<'_, 'py>,
) -> Outcome<Bound<'py, PyTuple>> {
    let py = data.py();
    let bounds = options.bounds(shared, py)?;
    let offset = usize::try_from(offset).map_err(|_| Stop::Rerun)?;
    let (term, end) = match data.cast::<PyBytes>() {
        Ok(bytes) => read_at(shared, bytes, offset, bounds, options, form)?,
        Err(_) => {
            let (term, size) = through_windows(shared, &view(data)?, offset, bounds, options, form)?;
            (term, offset + size)
        }
    };
    if matches!(form, Form::Versioned) && end - offset > bounds.bytes {
        return Err(Stop::Rerun);
    }
    Ok((term, end).into_pyobject(py)?)
}

/// The term at an offset of a buffer that may be long, and the number of its bytes.
fn through_windows<'py>(
    shared: &'static Shared,
    view: &Any<'py>,
    offset: usize,
    bounds: Bounds,
    options: &Options<'py>,
    form: Form<'_, 'py>,
) -> Outcome<(Any<'py>, usize)> {
    let py = view.py();
    let whole = view.len()?;
    let mut size = FIRST_WINDOW;
    loop {
        let end = offset.saturating_add(size).min(whole);
        let slice = pyo3::types::PySlice::new(py, to_index(offset)?, to_index(end)?, 1);
        let window = copy(&view.get_item(slice)?)?;
        match read_at(shared, &window, 0, bounds, options, form) {
            Err(Stop::Rerun) if end < whole => size = size.saturating_mul(WINDOW_GROWTH),
            outcome => return outcome,
        }
    }
}

fn to_index(offset: usize) -> Outcome<isize> {
    isize::try_from(offset).map_err(|_| Stop::Rerun)
}

fn read_at<'py>(
    shared: &'static Shared,
    input: &Bound<'py, PyBytes>,
    offset: usize,
    bounds: Bounds,
    options: &Options<'py>,
    form: Form<'_, 'py>,
) -> Outcome<(Any<'py>, usize)> {
    let refs = if let Form::Bare(refs) = form { refs } else { None };
    let mut reader = Reader::new(shared, input, bounds, options.limits.as_ref(), options.none.as_ref(), refs);
    reader.cursor.pos = offset;
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
