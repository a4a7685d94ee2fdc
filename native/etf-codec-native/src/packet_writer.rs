//! Whole packets, written: a message behind a header that was needed before.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::beginnings::HEADER_START;
use crate::bounds::Bounds;
use crate::encode::{Options, in_tuple};
use crate::shared::Shared;
use crate::stop::{Outcome, Stop, or_python};
use crate::tags;
use crate::writer::{Referred, Writer};

use smallvec::SmallVec;

type Any<'py> = Bound<'py, PyAny>;

/// By the class of a receiver, what messages to it begin with.
type Operations = SmallVec<[(Py<PyAny>, Py<PyAny>); 2]>;

/// The length of a packet, and the start of its header.
const START_BYTES: usize = 4 + HEADER_START.len();

/// `{Operation, FromPid, To}`
const CONTROL_ARITY: u8 = 3;

/// Writes terms as whole packets. See the Python codec.
#[pyclass(frozen, module = "etf_codec")]
pub struct PacketWriter {
    headers: Py<PyDict>,
    max_bytes: usize,
    operations: Operations,
    none: Option<Py<PyAny>>,
    limits: Option<Py<PyAny>>,
    /// None if native code does not have these options.
    bounds: Option<Bounds>,
    /// The same in Python.
    python: Py<PyAny>,
}

#[pymethods]
impl PacketWriter {
    #[new]
    #[pyo3(signature = (headers, max_bytes, operations=None, *, none=None, legacy_identifiers=None, limits=None))]
    #[pyo3(text_signature = "(headers, max_bytes, operations={}, *, \
                             none=None, legacy_identifiers=False, limits=Limits())")]
    fn new<'py>(
        headers: &Bound<'py, PyDict>,
        max_bytes: &Any<'py>,
        operations: Option<Bound<'py, PyDict>>,
        none: Option<Any<'py>>,
        legacy_identifiers: Option<Any<'py>>,
        limits: Option<Any<'py>>,
    ) -> PyResult<Self> {
        let py = headers.py();
        let shared = Shared::get(py)?;
        let options = Options {
            compressed: None,
            deterministic: None,
            none: none.as_ref(),
            legacy_identifiers: legacy_identifiers.as_ref(),
            limits: limits.as_ref(),
        };
        let keywords = options.keywords(py)?;
        let operations = operations.unwrap_or_else(|| PyDict::new(py));
        let python = shared.encoder.bind(py).call_method(
            "PacketWriter",
            (headers, max_bytes, &operations),
            Some(&keywords),
        )?;
        let own_limits = limits.as_ref().filter(|limits| !limits.is(&shared.default_limits));
        let limits = own_limits.unwrap_or(shared.default_limits.bind(py));
        let bounds = options.are_native(shared).then(|| Bounds::read(limits)).transpose()?;
        Ok(PacketWriter {
            headers: headers.clone().unbind(),
            // More than a length can say is the same as the most that it can.
            max_bytes: max_bytes.extract().unwrap_or(usize::MAX),
            operations: operations.iter().map(|(class, number)| (class.unbind(), number.unbind())).collect(),
            limits: own_limits.map(|limits| limits.clone().unbind()),
            none: none.map(Bound::unbind),
            bounds,
            python: python.unbind(),
        })
    }

    /// Write terms as a packet, if the header for their atoms is known; otherwise as `encode_referring` does.
    fn write<'py>(&self, terms: &Any<'py>) -> PyResult<Any<'py>> {
        let terms = in_tuple(terms)?;
        let write =
            |writer: &mut Writer<'_, 'py>| terms.iter_borrowed().try_for_each(|term| writer.write(&term));
        or_python(self.packet(terms.py(), write), || {
            self.python.bind(terms.py()).call_method1("write", (&terms,))
        })
    }

    /// The same for the terms `{Operation, FromPid, To}` and `Message`; None if there is no such operation.
    fn write_message<'py>(
        &self,
        sender: &Any<'py>,
        to: &Any<'py>,
        message: &Any<'py>,
    ) -> PyResult<Option<Any<'py>>> {
        let py = message.py();
        let class = to.get_type_ptr();
        let known = self.operations.iter().find(|(known, _)| known.as_ptr() == class.cast());
        let Some((_, operation)) = known else { return Ok(None) };
        let operation = operation.bind(py);
        let write = |writer: &mut Writer<'_, 'py>| {
            if writer.bounds.depth == 0 || writer.bounds.elements < usize::from(CONTROL_ARITY) {
                return Err(Stop::Rerun);
            }
            writer.out.tagged(tags::SMALL_TUPLE_EXT, [CONTROL_ARITY]);
            for element in [operation, sender, to] {
                if !writer.leaf(element)? {
                    return Err(Stop::Rerun);
                }
            }
            writer.write(message)
        };
        or_python(self.packet(py, write).map(Some), || {
            self.python.bind(py).call_method1("write_message", (sender, to, message)).map(Some)
        })
    }
}

impl PacketWriter {
    /// The packet of what is written, or the atoms it refers to and its parts.
    #[inline(always)]
    fn packet<'py>(
        &self,
        py: Python<'py>,
        write: impl FnOnce(&mut Writer<'_, 'py>) -> Outcome<()>,
    ) -> Outcome<Any<'py>> {
        let bounds = self.bounds.as_ref().ok_or(Stop::Rerun)?;
        let limits = self.limits.as_ref().map(|limits| limits.bind(py));
        let none = self.none.as_ref().map(|none| none.bind(py));
        let mut writer = Writer::new(py, Shared::get(py)?, bounds, limits, none, None);
        writer.referred = Some(Referred::new());
        write(&mut writer)?;
        if writer.out.len() > bounds.bytes {
            return Err(Stop::Rerun);
        }
        let atoms = PyTuple::new(py, writer.referred.as_deref().unwrap_or_default())?;
        if writer.out.is_plain() && writer.out.len() <= self.max_bytes {
            if let Some(header) = self.headers.bind(py).get_item(&atoms)? {
                let header = header.cast::<PyBytes>().map_err(|_| Stop::Rerun)?;
                return Ok(joined(py, header.as_bytes(), &writer.out.bytes)?.into_any());
            }
        }
        Ok((atoms, writer.out.parts(py)?).into_pyobject(py)?.into_any())
    }
}

/// A packet of a header and what refers to it.
fn joined<'py>(py: Python<'py>, header: &[u8], terms: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let length = u32::try_from(HEADER_START.len() + header.len() + terms.len())?;
    PyBytes::new_with(py, START_BYTES + header.len() + terms.len(), |packet| {
        let (start, rest) = packet.split_at_mut(START_BYTES);
        start[..4].copy_from_slice(&length.to_be_bytes());
        start[4..].copy_from_slice(&HEADER_START);
        let (place, rest) = rest.split_at_mut(header.len());
        place.copy_from_slice(header);
        rest.copy_from_slice(terms);
        Ok(())
    })
}
