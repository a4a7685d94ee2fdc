//! The limits of one call, as integers.

use pyo3::intern;
use pyo3::prelude::*;

/// `etf_codec.Limits`, but for those bounds that only Python's part needs.
pub struct Bounds {
    pub depth: usize,
    pub bytes: usize,
    pub elements: usize,
    pub bigint_bytes: usize,
    pub tuple_arity: usize,
    pub key_collisions: usize,
}

impl Bounds {
    pub fn read(limits: &Bound<'_, PyAny>) -> PyResult<Bounds> {
        let py = limits.py();
        Ok(Bounds {
            depth: limits.getattr(intern!(py, "max_depth"))?.extract()?,
            bytes: limits.getattr(intern!(py, "max_bytes"))?.extract()?,
            elements: limits.getattr(intern!(py, "max_elements"))?.extract()?,
            bigint_bytes: limits.getattr(intern!(py, "max_bigint_bytes"))?.extract()?,
            tuple_arity: limits.getattr(intern!(py, "max_tuple_arity"))?.extract()?,
            key_collisions: limits.getattr(intern!(py, "max_key_collisions"))?.extract()?,
        })
    }
}
