//! Terms to bytes: the three functions, and what their options mean.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::bounds::Bounds;
use crate::known::Lease;
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
    /// A writer, if native code has these options.
    #[inline]
    fn writer<'a>(
        &'a self,
        shared: &'static Shared,
        py: Python<'py>,
        wires: Option<&'a Any<'py>>,
    ) -> Outcome<Writer<'a, 'py>> {
        for option in [&self.compressed, &self.deterministic, &self.legacy_identifiers] {
            if option.as_ref().is_some_and(|option| !option.is(&shared.no)) {
                return Err(Stop::Rerun);
            }
        }
        if self.none.as_ref().is_some_and(|none| !none.get_type().is(&shared.atom)) {
            return Err(Stop::Rerun);
        }
        let limits = self.limits.as_ref().filter(|limits| !limits.is(&shared.default_limits));
        let bounds = limits.map_or(Ok(shared.default_bounds), Bounds::read)?;
        let none = self.none.as_ref();
        let (out, known) = (Output::new(), Lease::new());
        Ok(Writer { py, shared, bounds, limits, none, wires, out, known, budget: 0 })
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

/// A whole term behind its version byte.
fn versioned<'py>(shared: &'static Shared, term: &Any<'py>, options: &Options<'py>) -> Outcome<Output<'py>> {
    let mut writer = options.writer(shared, term.py(), None)?;
    writer.out.byte(tags::VERSION);
    writer.write(term.clone())?;
    within(writer)
}

/// What a writer wrote, if it is not too much.
fn within<'py>(writer: Writer<'_, 'py>) -> Outcome<Output<'py>> {
    if writer.out.len() > writer.bounds.bytes { Err(Stop::Rerun) } else { Ok(writer.out) }
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
    let written = versioned(shared, term, &options).and_then(|out| Ok(out.joined(py)?));
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
    let written = versioned(shared, term, &options).and_then(|out| Ok(out.parts(py)?.into_any()));
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
    or_python(bare(shared, &terms, atom_refs.as_ref(), &options), || {
        let keywords = options.keywords(py)?;
        shared.encoder.bind(py).call_method("encode_bare", (&terms, &atom_refs), Some(&keywords))
    })
}

fn bare<'py>(
    shared: &'static Shared,
    terms: &Bound<'py, PyTuple>,
    atom_refs: Option<&Any<'py>>,
    options: &Options<'py>,
) -> Outcome<Any<'py>> {
    let mut writer = options.writer(shared, terms.py(), atom_refs)?;
    for term in terms {
        writer.write(term)?;
    }
    let parts: Bound<'py, PyList> = within(writer)?.parts(terms.py())?;
    Ok(parts.into_any())
}
