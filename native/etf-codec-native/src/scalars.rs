//! The terms without elements, written.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::known::{MAX_REFERENCE_BYTES, MAX_REFERENCE_WORDS, PID_FIELDS_BYTES, ReferringPid};
use crate::output::LARGE_BYTES;
use crate::stop::{Outcome, Stop};
use crate::tags;
use crate::writer::Writer;

/// As many as a distribution header lists.
const MAX_REFERRED: usize = 255;

impl<'py> Writer<'_, 'py> {
    /// Write a term, if it is one without elements of a class known here.
    #[inline]
    pub fn leaf(&mut self, item: &Bound<'py, PyAny>) -> Outcome<bool> {
        if let Ok(value) = item.cast_exact::<PyInt>() {
            self.integer(value)?;
        } else if let Ok(value) = item.cast_exact::<PyBytes>() {
            self.binary(value)?;
        } else if self.is_a(item, &self.shared.atom) {
            self.atom(item)?;
        } else if let Ok(value) = item.cast_exact::<PyFloat>() {
            let value = value.value();
            if !value.is_finite() {
                return Err(Stop::Rerun);
            }
            self.out.tagged(tags::NEW_FLOAT_EXT, value.to_be_bytes());
        } else if let Ok(value) = item.cast_exact::<PyString>() {
            let text = value.to_str()?;
            self.binary_header(text.len())?;
            self.out.bytes.extend_from_slice(text.as_bytes());
        } else if self.is_a(item, &self.shared.pid) {
            self.pid(item)?;
        } else if self.is_a(item, &self.shared.reference) {
            self.reference(item)?;
        } else if let Ok(value) = item.cast_exact::<PyBool>() {
            let shared = self.shared;
            self.atom(if value.is_true() { &shared.true_atom } else { &shared.false_atom }.bind(self.py))?;
        } else if item.is_none() {
            self.atom(self.none.ok_or(Stop::Rerun)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    #[inline(always)]
    pub fn is_a(&self, item: &Bound<'py, PyAny>, class: &Py<pyo3::types::PyType>) -> bool {
        item.get_type_ptr() == class.as_ptr().cast::<ffi::PyTypeObject>()
    }

    #[inline]
    pub fn integer(&mut self, item: &Bound<'py, PyInt>) -> Outcome<()> {
        let Ok(value) = item.extract::<i64>() else { return self.large_integer(item) };
        if let Ok(small) = u8::try_from(value) {
            self.out.tagged(tags::SMALL_INTEGER_EXT, [small]);
        } else if let Ok(word) = i32::try_from(value) {
            self.out.tagged(tags::INTEGER_EXT, word.to_be_bytes());
        } else {
            let magnitude = value.unsigned_abs().to_le_bytes();
            let size = 8 - value.unsigned_abs().leading_zeros() as usize / 8;
            if size > self.bounds.bigint_bytes {
                return Err(Stop::Rerun);
            }
            self.out.bytes.extend_from_slice(&[tags::SMALL_BIG_EXT, size as u8, u8::from(value < 0)]);
            self.out.bytes.extend_from_slice(&magnitude[..size]);
        }
        Ok(())
    }

    #[cold]
    fn large_integer(&mut self, item: &Bound<'py, PyInt>) -> Outcome<()> {
        let limits = self.limits.unwrap_or(self.shared.default_limits.bind(self.py));
        self.append(&self.shared.integer_wire.bind(self.py).call1((item, limits))?)
    }

    #[inline]
    fn binary(&mut self, item: &Bound<'py, PyBytes>) -> Outcome<()> {
        let bytes = item.as_bytes();
        self.binary_header(bytes.len())?;
        if bytes.len() < LARGE_BYTES {
            self.out.bytes.extend_from_slice(bytes);
        } else {
            self.out.object(item.clone().into_any(), bytes.len());
        }
        Ok(())
    }

    #[inline]
    pub fn binary_header(&mut self, size: usize) -> Outcome<()> {
        let size = u32::try_from(size).map_err(|_| Stop::Rerun)?;
        self.out.tagged(tags::BINARY_EXT, size.to_be_bytes());
        Ok(())
    }

    /// Bytes that Python wrote.
    pub fn append(&mut self, wire: &Bound<'py, PyAny>) -> Outcome<()> {
        let wire = wire.cast::<PyBytes>().map_err(|_| Stop::Rerun)?;
        self.out.bytes.extend_from_slice(wire.as_bytes());
        Ok(())
    }

    /// An atom, in full or as its channel's cache has it.
    #[inline]
    pub fn atom(&mut self, atom: &Bound<'py, PyAny>) -> Outcome<()> {
        if let Some(wires) = self.wires {
            return self.append(&wires.get_item(atom)?);
        }
        if let Some(referred) = &mut self.referred {
            let known = referred.iter().position(|other| other.is(atom));
            let index = known.unwrap_or(referred.len());
            if let Ok(index) = u8::try_from(index)
                && usize::from(index) < MAX_REFERRED
            {
                if known.is_none() {
                    referred.push(atom.clone());
                }
                self.out.tagged(tags::ATOM_CACHE_REF, [index]);
                return Ok(());
            }
        }
        if let Some((_, wire)) = self.known.known().wires.get(&atom.as_ptr().addr()) {
            self.out.bytes.extend_from_slice(wire);
            return Ok(());
        }
        let wire = atom.getattr(intern!(self.py, "wire"))?;
        self.append(&wire)?;
        self.remember(atom, wire.cast::<PyBytes>().map_err(|_| Stop::Rerun)?.as_bytes());
        Ok(())
    }

    fn remember(&mut self, item: &Bound<'py, PyAny>, wire: &[u8]) {
        self.known.known().wires.insert(item.as_ptr().addr(), (item.clone().unbind(), wire.into()));
    }

    /// The atom of a node's name, which is known from now on.
    fn node_atom(&mut self, name: Bound<'py, PyAny>) -> Outcome<Bound<'py, PyAny>> {
        let address = name.as_ptr().addr();
        if let Some((_, atom)) = self.known.known().nodes.get(&address) {
            return Ok(atom.bind(self.py).clone());
        }
        let atom = self.shared.atom.bind(self.py).call1((&name,))?;
        self.known.known().nodes.insert(address, (name.unbind(), atom.clone().unbind()));
        Ok(atom)
    }

    fn word(&self, item: &Bound<'py, PyAny>) -> Outcome<[u8; 4]> {
        Ok(item.extract::<u32>()?.to_be_bytes())
    }

    /// It is one look-up, whether written in full or with its node as its channel's cache has it.
    fn pid(&mut self, item: &Bound<'py, PyAny>) -> Outcome<()> {
        let address = item.as_ptr().addr();
        if self.in_full() {
            if self.known.known().wires.get(&address).is_none() {
                self.learn_pid(item)?;
            }
            let (_, wire) = self.known.known().wires.get(&address).ok_or(Stop::Rerun)?;
            self.out.bytes.extend_from_slice(wire);
            return Ok(());
        }
        if self.known.known().referring.get(&address).is_none() {
            self.learn_referring_pid(item)?;
        }
        let known = self.known.known().referring.get(&address).ok_or(Stop::Rerun)?;
        let (node, fields) = (known.node.bind(self.py).clone(), known.fields);
        self.out.byte(tags::NEW_PID_EXT);
        self.atom(&node)?;
        self.out.bytes.extend_from_slice(&fields);
        Ok(())
    }

    /// Have the external form of a pid known.
    #[cold]
    fn learn_pid(&mut self, item: &Bound<'py, PyAny>) -> Outcome<()> {
        let node = self.node_atom(item.getattr(intern!(self.py, "node"))?)?;
        let node = node.getattr(intern!(self.py, "wire"))?;
        let node = node.cast::<PyBytes>().map_err(|_| Stop::Rerun)?.as_bytes();
        let fields = self.pid_fields(item)?;
        self.remember(item, &[&[tags::NEW_PID_EXT], node, &fields].concat());
        Ok(())
    }

    /// Have the parts of a pid known.
    #[cold]
    fn learn_referring_pid(&mut self, item: &Bound<'py, PyAny>) -> Outcome<()> {
        let node = self.node_atom(item.getattr(intern!(self.py, "node"))?)?.unbind();
        let known = ReferringPid { pid: item.clone().unbind(), node, fields: self.pid_fields(item)? };
        self.known.known().referring.insert(known.pid.as_ptr().addr(), known);
        Ok(())
    }

    /// The id, serial and creation of a pid.
    fn pid_fields(&self, item: &Bound<'py, PyAny>) -> Outcome<[u8; PID_FIELDS_BYTES]> {
        let py = self.py;
        let mut fields = [0; PID_FIELDS_BYTES];
        let names = [intern!(py, "id"), intern!(py, "serial"), intern!(py, "creation")];
        for (name, place) in names.into_iter().zip(fields.chunks_exact_mut(4)) {
            place.copy_from_slice(&self.word(&item.getattr(name)?)?);
        }
        Ok(fields)
    }

    pub fn reference(&mut self, item: &Bound<'py, PyAny>) -> Outcome<()> {
        if self.known.known().references.written(item.as_ptr().addr()).is_none() {
            self.learn_reference(item)?;
        }
        let known = self.known.known().references.written(item.as_ptr().addr()).ok_or(Stop::Rerun)?;
        let node = known.node.bind(self.py).clone();
        let count = known.fields().len() / 4 - 1;
        let mut fields = [0; MAX_REFERENCE_BYTES];
        fields[..known.fields().len()].copy_from_slice(known.fields());
        self.out.tagged(tags::NEWER_REFERENCE_EXT, (count as u16).to_be_bytes());
        self.atom(&node)?;
        self.out.bytes.extend_from_slice(&fields[..4 + 4 * count]);
        Ok(())
    }

    /// Have the external form of a reference known.
    fn learn_reference(&mut self, item: &Bound<'py, PyAny>) -> Outcome<()> {
        let py = self.py;
        let ids = item.getattr(intern!(py, "ids"))?;
        let ids = ids.cast_exact::<PyTuple>().map_err(|_| Stop::Rerun)?;
        if ids.len() > MAX_REFERENCE_WORDS {
            return Err(Stop::Rerun);
        }
        let mut wire = [0; MAX_REFERENCE_BYTES];
        wire[..4].copy_from_slice(&self.word(&item.getattr(intern!(py, "creation"))?)?);
        for (id, place) in ids.iter_borrowed().zip(wire[4..].chunks_exact_mut(4)) {
            place.copy_from_slice(&self.word(&id)?);
        }
        let node = self.node_atom(item.getattr(intern!(py, "node"))?)?;
        self.known.known().references.insert(item, &node, &wire[..4 + 4 * ids.len()]);
        Ok(())
    }
}
