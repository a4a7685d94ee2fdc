//! What is written: bytes, with large objects between them that are not copied.

use std::cell::Cell;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// From this size on a binary stays an object of its own, as in the Python codec.
pub const LARGE_BYTES: usize = 16 * 1024;

/// What one call may leave allocated for the next. Most messages are smaller.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub struct Output<'py> {
    pub bytes: Vec<u8>,
    /// Each with the place in `bytes` before which it stands.
    large: Vec<(usize, Bound<'py, PyAny>)>,
    large_bytes: usize,
}

impl<'py> Output<'py> {
    pub fn new() -> Self {
        Output { bytes: SCRATCH.take(), large: Vec::new(), large_bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() + self.large_bytes
    }

    /// Whether all of it is in `bytes`.
    pub fn is_plain(&self) -> bool {
        self.large.is_empty()
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A tag and a number behind it.
    #[inline]
    pub fn tagged<const N: usize>(&mut self, tag: u8, number: [u8; N]) {
        let mut head = [tag; 9];
        head[1..=N].copy_from_slice(&number);
        self.bytes.extend_from_slice(&head[..=N]);
    }

    pub fn object(&mut self, object: Bound<'py, PyAny>, size: usize) {
        self.large.push((self.bytes.len(), object));
        self.large_bytes += size;
    }

    /// One object: each byte is copied once more, that of a large object for the first time.
    pub fn joined(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.large.is_empty() {
            return Ok(PyBytes::new(py, &self.bytes).into_any());
        }
        PyBytes::new(py, b"").call_method1(intern!(py, "join"), (self.parts(py)?,))
    }

    /// The bytes, cut where large objects stand between them.
    pub fn parts(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parts = PyList::empty(py);
        let mut start = 0;
        for (end, object) in &self.large {
            if start < *end {
                parts.append(PyBytes::new(py, &self.bytes[start..*end]))?;
            }
            parts.append(object)?;
            start = *end;
        }
        if start < self.bytes.len() || parts.is_empty() {
            parts.append(PyBytes::new(py, &self.bytes[start..]))?;
        }
        Ok(parts.into_any())
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if self.bytes.capacity() <= SCRATCH_BYTES {
            self.bytes.clear();
            SCRATCH.set(std::mem::take(&mut self.bytes));
        }
    }
}
