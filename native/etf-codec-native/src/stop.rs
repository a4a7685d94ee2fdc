//! Why native code stops before it has a result.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

/// The errors of a codec are most of its rules, and no one waits for them. So native code raises none of its
/// own: where it cannot go on, the Python codec does the same call from the start, and either says what is
/// wrong and where, or knows the rare term that native code does not.
pub enum Stop {
    /// Let Python do it.
    Rerun,
    /// An interruption, such as KeyboardInterrupt, that is no answer to the call.
    Raise(PyErr),
}

pub type Outcome<T> = Result<T, Stop>;

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        if Python::attach(|py| error.is_instance_of::<PyException>(py)) {
            Stop::Rerun
        } else {
            Stop::Raise(error)
        }
    }
}

/// The result of native code, or of Python's where native code gave up.
pub fn or_python<T>(outcome: Outcome<T>, python: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    match outcome {
        Ok(value) => Ok(value),
        Err(Stop::Rerun) => python(),
        Err(Stop::Raise(error)) => Err(error),
    }
}
