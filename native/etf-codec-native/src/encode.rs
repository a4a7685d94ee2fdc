//! Terms to bytes: the three functions, and what their options mean.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyTuple};

use crate::bounds::Bounds;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;
use crate::writer::{Referred, Writer};

type Any<'py> = Bound<'py, PyAny>;

/// The external form of a term that is worth a shorter way: larger ones take their time anyway.
const SHORT_BYTES: usize = 256;

/// The options of a call as they were given; `None` is an option left out.
#[derive(Clone, Copy)]
pub struct Options<'a, 'py> {
    pub compressed: Option<&'a Any<'py>>,
    pub deterministic: Option<&'a Any<'py>>,
    pub none: Option<&'a Any<'py>>,
    pub legacy_identifiers: Option<&'a Any<'py>>,
    pub limits: Option<&'a Any<'py>>,
}

impl<'py> Options<'_, 'py> {
    /// Whether native code has these options.
    #[inline]
    pub fn are_native(&self, shared: &Shared) -> bool {
        let off = |option: Option<&Any<'py>>| option.is_none_or(|option| option.is(&shared.no));
        off(self.compressed)
            && off(self.deterministic)
            && off(self.legacy_identifiers)
            && self.none.is_none_or(|none| none.get_type().is(&shared.atom))
    }

    #[inline]
    fn are_left_out(&self) -> bool {
        self.compressed.is_none()
            && self.deterministic.is_none()
            && self.none.is_none()
            && self.legacy_identifiers.is_none()
            && self.limits.is_none()
    }

    /// The same options for the Python codec.
    pub fn keywords(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        let given = [
            ("compressed", self.compressed),
            ("deterministic", self.deterministic),
            ("none", self.none),
            ("legacy_identifiers", self.legacy_identifiers),
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

/// What `write` writes, if it is not too much, as `finish` makes it a result.
#[inline(always)]
fn written<'a, 'py>(
    shared: &'static Shared,
    options: &Options<'a, 'py>,
    wires: Option<&'a Any<'py>>,
    py: Python<'py>,
    write: impl FnOnce(&mut Writer<'_, 'py>) -> Outcome<()>,
    finish: impl FnOnce(&Writer<'_, 'py>) -> PyResult<Any<'py>>,
) -> Outcome<Any<'py>> {
    if !options.are_native(shared) {
        return Err(Stop::Rerun);
    }
    let limits = options.limits.filter(|limits| !limits.is(&shared.default_limits));
    let own_bounds = limits.map(Bounds::read).transpose()?;
    let bounds = own_bounds.as_ref().unwrap_or(&shared.default_bounds);
    let mut writer = Writer::new(py, shared, bounds, limits, options.none, wires);
    write(&mut writer)?;
    if writer.out.len() > writer.bounds.bytes {
        return Err(Stop::Rerun);
    }
    Ok(finish(&writer)?)
}

/// A small integer or binary: to set up what larger terms need would take longer than to write it.
#[inline]
fn short<'py>(term: &Any<'py>) -> Option<Any<'py>> {
    let py = term.py();
    if let Ok(integer) = term.cast_exact::<PyInt>() {
        let small = u8::try_from(integer.extract::<i64>().ok()?).ok()?;
        return Some(PyBytes::new(py, &[tags::VERSION, tags::SMALL_INTEGER_EXT, small]).into_any());
    }
    let bytes = term.cast_exact::<PyBytes>().ok()?.as_bytes();
    let mut wire = [0; SHORT_BYTES];
    let end = bytes.len().checked_add(6).filter(|end| *end <= SHORT_BYTES)?;
    wire[..2].copy_from_slice(&[tags::VERSION, tags::BINARY_EXT]);
    wire[2..6].copy_from_slice(&u32::try_from(bytes.len()).ok()?.to_be_bytes());
    wire[6..end].copy_from_slice(bytes);
    Some(PyBytes::new(py, &wire[..end]).into_any())
}

/// The term behind its version byte.
#[inline(always)]
fn versioned<'py>(writer: &mut Writer<'_, 'py>, term: &Any<'py>) -> Outcome<()> {
    writer.out.byte(tags::VERSION);
    writer.write(term)
}

/// Write a term, as `term_to_binary/2` does. See the Python codec for the options and errors.
#[pyfunction]
#[pyo3(signature = (term, *, compressed=None, deterministic=None, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(term, *, compressed=False, deterministic=False, none=None, \
                         legacy_identifiers=False, limits=Limits())")]
pub fn encode<'a, 'py>(
    term: &'a Any<'py>,
    compressed: Option<&'a Any<'py>>,
    deterministic: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    legacy_identifiers: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = term.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed, deterministic, none, legacy_identifiers, limits };
    if let Some(short) = options.are_left_out().then(|| short(term)).flatten() {
        return Ok(short);
    }
    let written =
        written(shared, &options, None, py, |writer| versioned(writer, term), |writer| writer.out.joined(py));
    or_python(written, || {
        shared.encoder.bind(py).call_method("encode", (term,), Some(&options.keywords(py)?))
    })
}

/// Write a term as `encode` does, in pieces of which large binaries are the very objects in the term.
#[pyfunction]
#[pyo3(signature = (term, *, compressed=None, deterministic=None, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(term, *, compressed=False, deterministic=False, none=None, \
                         legacy_identifiers=False, limits=Limits())")]
pub fn encode_parts<'a, 'py>(
    term: &'a Any<'py>,
    compressed: Option<&'a Any<'py>>,
    deterministic: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    legacy_identifiers: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = term.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed, deterministic, none, legacy_identifiers, limits };
    let written =
        written(shared, &options, None, py, |writer| versioned(writer, term), |writer| writer.out.parts(py));
    or_python(written, || {
        shared.encoder.bind(py).call_method("encode_parts", (term,), Some(&options.keywords(py)?))
    })
}

/// Write terms as they stand behind a distribution header: without version byte, with the caller's atoms.
#[pyfunction]
#[pyo3(signature = (terms, atom_refs, *, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(terms, atom_refs, *, none=None, legacy_identifiers=False, limits=Limits())")]
pub fn encode_bare<'a, 'py>(
    terms: &'a Any<'py>,
    atom_refs: Option<&'a Any<'py>>,
    none: Option<&'a Any<'py>>,
    legacy_identifiers: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = terms.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed: None, deterministic: None, none, legacy_identifiers, limits };
    let terms = in_tuple(terms)?;
    let write = |writer: &mut Writer<'_, 'py>| terms.iter().try_for_each(|term| writer.write(&term));
    let written = written(shared, &options, atom_refs, py, write, |writer| writer.out.parts(py));
    or_python(written, || {
        let keywords = options.keywords(py)?;
        shared.encoder.bind(py).call_method("encode_bare", (&terms, atom_refs), Some(&keywords))
    })
}

/// An iterator gives its terms once only, and Python may want them after native code.
pub fn in_tuple<'py>(terms: &Any<'py>) -> PyResult<Bound<'py, PyTuple>> {
    match terms.cast_exact::<PyTuple>() {
        Ok(terms) => Ok(terms.clone()),
        Err(_) => PyTuple::new(terms.py(), terms.try_iter()?.collect::<PyResult<Vec<_>>>()?),
    }
}

/// Write terms as `encode_bare` does, with a reference for each atom: what a distribution header lists.
#[pyfunction]
#[pyo3(signature = (terms, *, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(terms, *, none=None, legacy_identifiers=False, limits=Limits())")]
pub fn encode_referring<'a, 'py>(
    terms: &'a Any<'py>,
    none: Option<&'a Any<'py>>,
    legacy_identifiers: Option<&'a Any<'py>>,
    limits: Option<&'a Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = terms.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed: None, deterministic: None, none, legacy_identifiers, limits };
    let terms = in_tuple(terms)?;
    let write = |writer: &mut Writer<'_, 'py>| {
        writer.referred = Some(Referred::new());
        terms.iter_borrowed().try_for_each(|term| writer.write(&term))
    };
    let written = written(shared, &options, None, py, write, |writer| {
        let atoms = PyTuple::new(py, writer.referred.as_deref().unwrap_or_default())?;
        Ok((atoms, writer.out.parts(py)?).into_pyobject(py)?.into_any())
    });
    or_python(written, || {
        let keywords = options.keywords(py)?;
        shared.encoder.bind(py).call_method("encode_referring", (&terms,), Some(&keywords))
    })
}
