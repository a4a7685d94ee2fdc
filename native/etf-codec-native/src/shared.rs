//! What comes from the Python package: its classes, its tables, and the codec that knows every rule.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyType};

use crate::bounds::Bounds;

/// Classes and functions of `etf_codec`, looked up once.
pub struct Shared {
    pub atom: Py<PyType>,
    pub pid: Py<PyType>,
    pub reference: Py<PyType>,
    pub reference_fields: Py<PyType>,
    pub frozen_list: Py<PyType>,
    pub frozen_map: Py<PyType>,
    pub improper_list: Py<PyType>,
    pub improper_list_fields: Py<PyType>,
    pub fun: Py<PyType>,

    pub true_atom: Py<PyAny>,
    pub false_atom: Py<PyAny>,
    pub yes: Py<PyAny>,
    pub no: Py<PyAny>,
    pub default_limits: Py<PyAny>,
    pub default_bounds: Bounds,

    /// `object.__new__`
    pub new_object: Py<PyAny>,

    pub decoder: Py<PyAny>,
    pub reading: Py<PyAny>,
    pub default_reading: Py<PyAny>,
    pub readers: Py<PyAny>,
    pub opaque: Py<PyAny>,
    pub make_list: Py<PyAny>,
    pub make_map: Py<PyAny>,

    pub encoder: Py<PyAny>,
    pub make_writing: Py<PyAny>,
    pub writers: Py<PyAny>,
    pub check_keys: Py<PyAny>,
    pub integer_wire: Py<PyAny>,
    pub plain: Py<PyAny>,
}

static SHARED: PyOnceLock<Shared> = PyOnceLock::new();

impl Shared {
    /// Found at the first call and not at import, which happens while `etf_codec` itself is being imported.
    #[inline]
    pub fn get(py: Python<'_>) -> PyResult<&'static Shared> {
        SHARED.get_or_try_init(py, || Shared::find(py))
    }

    fn find(py: Python<'_>) -> PyResult<Shared> {
        let from = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
            let module = py.import(format!("etf_codec.{module}").as_str())?;
            Ok(module.getattr(name)?.unbind())
        };
        let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            Ok(from(module, name)?.into_bound(py).cast_into::<PyType>()?.unbind())
        };
        let default_limits = from("_limits", "DEFAULT_LIMITS")?;
        let default_bounds = Bounds::read(default_limits.bind(py))?;
        Ok(Shared {
            atom: class("_atom", "Atom")?,
            pid: class("_identifiers", "Pid")?,
            reference: class("_identifiers", "Reference")?,
            reference_fields: class("_identifiers", "_ReferenceFields")?,
            frozen_list: class("_frozen", "FrozenList")?,
            frozen_map: class("_frozen", "FrozenMap")?,
            improper_list: class("_terms", "ImproperList")?,
            improper_list_fields: class("_terms", "_ImproperListFields")?,
            fun: class("_terms", "Fun")?,
            true_atom: from("_reader", "TRUE")?,
            false_atom: from("_reader", "FALSE")?,
            yes: PyBool::new(py, true).to_owned().into_any().unbind(),
            no: PyBool::new(py, false).to_owned().into_any().unbind(),
            default_limits,
            default_bounds,
            new_object: py.get_type::<PyAny>().getattr("__new__")?.unbind(),
            decoder: py.import("etf_codec._decoder")?.into_any().unbind(),
            reading: from("_reader", "Reading")?,
            default_reading: from("_decoder", "_DEFAULT_READING")?,
            readers: from("_reader", "READERS")?,
            opaque: from("_containers", "OPAQUE")?,
            make_list: from("_containers", "make_list")?,
            make_map: from("_containers", "make_map")?,
            encoder: py.import("etf_codec._encoder")?.into_any().unbind(),
            make_writing: from("_encoder", "_writing")?,
            writers: from("_writer", "WRITERS")?,
            check_keys: from("_term_writer", "_check_keys")?,
            integer_wire: from("_writer", "integer_wire")?,
            plain: from("_term_writer", "_plain")?,
        })
    }
}
