//! Terms to bytes: the three functions, and what their options mean.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::bounds::Bounds;
use crate::output::Output;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;
use crate::writer::Writer;

type Any<'py> = Bound<'py, PyAny>;

/// The options of a call as they were given; `None` is an option left out.
struct Options<'py> {
    compressed: Option<Any<'py>>,
    deterministic: Option<Any<'py>>,
    none: Option<Any<'py>>,
    legacy_identifiers: Option<Any<'py>>,
    limits: Option<Any<'py>>,
}

impl<'py> Options<'py> {
    /// Whether native code has these options.
    #[inline]
    fn are_native(&self, shared: &Shared) -> bool {
        let off = |option: &Option<Any<'py>>| option.as_ref().is_none_or(|option| option.is(&shared.no));
        off(&self.compressed)
            && off(&self.deterministic)
            && off(&self.legacy_identifiers)
            && self.none.as_ref().is_none_or(|none| none.get_type().is(&shared.atom))
    }

    /// The same options for the Python codec.
    fn keywords(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        let given = [
            ("compressed", &self.compressed),
            ("deterministic", &self.deterministic),
            ("none", &self.none),
            ("legacy_identifiers", &self.legacy_identifiers),
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

/// What `write` writes, if it is not too much, as `finish` makes it a result.
#[inline(always)]
fn written<'a, 'py>(
    shared: &'static Shared,
    options: &'a Options<'py>,
    wires: Option<&'a Any<'py>>,
    py: Python<'py>,
    write: impl FnOnce(&mut Writer<'a, 'py>) -> Outcome<()>,
    finish: impl FnOnce(&Output<'py>) -> PyResult<Any<'py>>,
) -> Outcome<Any<'py>> {
    if !options.are_native(shared) {
        return Err(Stop::Rerun);
    }
    let limits = options.limits.as_ref().filter(|limits| !limits.is(&shared.default_limits));
    let bounds = limits.map_or(Ok(shared.default_bounds), Bounds::read)?;
    let mut writer = Writer::new(py, shared, bounds, limits, options.none.as_ref(), wires);
    write(&mut writer)?;
    if writer.out.len() > writer.bounds.bytes {
        return Err(Stop::Rerun);
    }
    Ok(finish(&writer.out)?)
}

/// The term behind its version byte.
#[inline(always)]
fn versioned<'py>(writer: &mut Writer<'_, 'py>, term: &Any<'py>) -> Outcome<()> {
    writer.out.byte(tags::VERSION);
    writer.write(term.clone())
}

/// Write a term, as `term_to_binary/2` does. See the Python codec for the options and errors.
#[pyfunction]
#[pyo3(signature = (term, *, compressed=None, deterministic=None, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(term, *, compressed=False, deterministic=False, none=None, \
                         legacy_identifiers=False, limits=Limits())")]
pub fn encode<'py>(
    term: &Any<'py>,
    compressed: Option<Any<'py>>,
    deterministic: Option<Any<'py>>,
    none: Option<Any<'py>>,
    legacy_identifiers: Option<Any<'py>>,
    limits: Option<Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = term.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed, deterministic, none, legacy_identifiers, limits };
    let written = written(shared, &options, None, py, |writer| versioned(writer, term), |out| out.joined(py));
    or_python(written, || {
        shared.encoder.bind(py).call_method("encode", (term,), Some(&options.keywords(py)?))
    })
}

/// Write a term as `encode` does, in pieces of which large binaries are the very objects in the term.
#[pyfunction]
#[pyo3(signature = (term, *, compressed=None, deterministic=None, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(term, *, compressed=False, deterministic=False, none=None, \
                         legacy_identifiers=False, limits=Limits())")]
pub fn encode_parts<'py>(
    term: &Any<'py>,
    compressed: Option<Any<'py>>,
    deterministic: Option<Any<'py>>,
    none: Option<Any<'py>>,
    legacy_identifiers: Option<Any<'py>>,
    limits: Option<Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = term.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed, deterministic, none, legacy_identifiers, limits };
    let written = written(shared, &options, None, py, |writer| versioned(writer, term), |out| out.parts(py));
    or_python(written, || {
        shared.encoder.bind(py).call_method("encode_parts", (term,), Some(&options.keywords(py)?))
    })
}

/// Write terms as they stand behind a distribution header: without version byte, with the caller's atoms.
#[pyfunction]
#[pyo3(signature = (terms, atom_refs, *, none=None, legacy_identifiers=None, limits=None))]
#[pyo3(text_signature = "(terms, atom_refs, *, none=None, legacy_identifiers=False, limits=Limits())")]
pub fn encode_bare<'py>(
    terms: &Any<'py>,
    atom_refs: Option<Any<'py>>,
    none: Option<Any<'py>>,
    legacy_identifiers: Option<Any<'py>>,
    limits: Option<Any<'py>>,
) -> PyResult<Any<'py>> {
    let py = terms.py();
    let shared = Shared::get(py)?;
    let options = Options { compressed: None, deterministic: None, none, legacy_identifiers, limits };
    // An iterator gives its terms once only, and Python may want them after native code.
    let terms = match terms.cast_exact::<PyTuple>() {
        Ok(terms) => terms.clone(),
        Err(_) => {
            terms.try_iter()?.collect::<PyResult<Vec<_>>>().and_then(|terms| PyTuple::new(py, terms))?
        }
    };
    let write = |writer: &mut Writer<'_, 'py>| terms.iter().try_for_each(|term| writer.write(term));
    let written = written(shared, &options, atom_refs.as_ref(), py, write, |out| out.parts(py));
    or_python(written, || {
        let keywords = options.keywords(py)?;
        shared.encoder.bind(py).call_method("encode_bare", (&terms, &atom_refs), Some(&keywords))
    })
}
