//! The terms without elements that messages are made of.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::known::{MAX_REFERENCE_WORDS, PidKey};
use crate::reader::Reader;
use crate::stop::{Outcome, Stop};
use crate::tags;

const MAX_ATOM_CHARACTERS: usize = 255;

impl<'py> Reader<'_, 'py> {
    /// The leaf of this tag, if it is one that is read here; the cursor stands behind the tag.
    #[inline(always)]
    pub fn leaf(&mut self, tag: u8, is_key: bool) -> Outcome<Option<Bound<'py, PyAny>>> {
        let value = match tag {
            tags::SMALL_INTEGER_EXT => PyInt::new(self.py, self.cursor.u8()?).into_any(),
            tags::INTEGER_EXT => PyInt::new(self.py, i32::from_be_bytes(self.cursor.array()?)).into_any(),
            tags::BINARY_EXT => {
                let size = self.cursor.size()?;
                if size > self.cursor.left() {
                    return self.gathered(size).map(Some);
                }
                let bytes = self.cursor.take(size)?;
                if is_key {
                    self.known.known().keys.get(self.py, bytes)
                } else {
                    PyBytes::new(self.py, bytes)
                }
                .into_any()
            }
            tags::SMALL_ATOM_UTF8_EXT
            | tags::SMALL_ATOM_EXT
            | tags::ATOM_EXT
            | tags::ATOM_UTF8_EXT
            | tags::ATOM_CACHE_REF => {
                let value = self.atom(tag)?;
                self.or_none(value)
            }
            tags::NEW_FLOAT_EXT => {
                let value = f64::from_be_bytes(self.cursor.array()?);
                if !value.is_finite() {
                    return Err(Stop::Rerun);
                }
                PyFloat::new(self.py, value).into_any()
            }
            tags::NIL_EXT => PyList::empty(self.py).into_any(),
            tags::STRING_EXT => self.string()?,
            tags::NEW_PID_EXT => self.pid()?,
            tags::NEWER_REFERENCE_EXT => self.reference()?,
            tags::SMALL_BIG_EXT => return self.small_big(),
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn string(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let size = self.cursor.u16()?;
        if size > self.bounds.elements {
            return Err(Stop::Rerun);
        }
        let text = self.cursor.take(size)?;
        Ok(PyList::new(self.py, text)?.into_any())
    }

    /// An integer of up to 64 bits; none, and the cursor where it was, if it is larger.
    fn small_big(&mut self) -> Outcome<Option<Bound<'py, PyAny>>> {
        let mut ahead = self.cursor;
        let size = usize::from(ahead.u8()?);
        if size > 8 || size > self.bounds.bigint_bytes {
            return Ok(None);
        }
        let negative = ahead.u8()? != 0;
        let mut magnitude = [0; 8];
        magnitude[..size].copy_from_slice(ahead.take(size)?);
        self.cursor = ahead;
        let magnitude = i128::from(u64::from_le_bytes(magnitude));
        let value = if negative { -magnitude } else { magnitude };
        Ok(Some(match i64::try_from(value) {
            Ok(value) => PyInt::new(self.py, value).into_any(),
            Err(_) => PyInt::new(self.py, value).into_any(),
        }))
    }

    /// An atom, or the boolean it stands for.
    fn atom(&mut self, tag: u8) -> Outcome<Bound<'py, PyAny>> {
        let size = match tag {
            tags::ATOM_CACHE_REF => return self.atom_ref(),
            tags::SMALL_ATOM_UTF8_EXT | tags::SMALL_ATOM_EXT => usize::from(self.cursor.u8()?),
            _ => self.cursor.u16()?,
        };
        let text = self.cursor.take(size)?;
        let latin1 = matches!(tag, tags::ATOM_EXT | tags::SMALL_ATOM_EXT);
        if latin1 && !text.is_ascii() {
            let name: String = text.iter().copied().map(char::from).collect();
            return self.named(name.as_bytes());
        }
        self.named(text)
    }

    #[inline]
    fn named(&mut self, text: &[u8]) -> Outcome<Bound<'py, PyAny>> {
        match self.known.known().atoms.get(text) {
            Some(value) => Ok(value.bind(self.py).clone()),
            None => self.learn(text),
        }
    }

    #[cold]
    fn learn(&mut self, text: &[u8]) -> Outcome<Bound<'py, PyAny>> {
        let name = std::str::from_utf8(text).map_err(|_| Stop::Rerun)?;
        if name.chars().count() > MAX_ATOM_CHARACTERS {
            return Err(Stop::Rerun);
        }
        let name = PyString::new(self.py, name);
        let atom = self.shared.atom.bind(self.py).call1((name,))?;
        let value = self.or_boolean(atom);
        self.known.known().atoms.insert(text.into(), value.clone().unbind());
        Ok(value)
    }

    fn or_boolean(&self, atom: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        if atom.is(&self.shared.true_atom) {
            self.shared.yes.bind(self.py).clone()
        } else if atom.is(&self.shared.false_atom) {
            self.shared.no.bind(self.py).clone()
        } else {
            atom
        }
    }

    fn atom_ref(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let index = usize::from(self.cursor.u8()?);
        let refs = self.refs.ok_or(Stop::Rerun)?;
        let atom = match refs.cast_exact::<PyTuple>() {
            Ok(refs) => refs.get_item(index)?,
            Err(_) => refs.get_item(index)?,
        };
        if !atom.get_type().is(&self.shared.atom) {
            return Err(Stop::Rerun);
        }
        Ok(self.or_boolean(atom))
    }

    /// The node of an identifier, as an atom.
    fn node(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let tag = self.cursor.u8()?;
        match tag {
            tags::SMALL_ATOM_UTF8_EXT
            | tags::SMALL_ATOM_EXT
            | tags::ATOM_EXT
            | tags::ATOM_UTF8_EXT
            | tags::ATOM_CACHE_REF => {
                let node = self.atom(tag)?;
                // A node named true is nobody's, but legal: Python knows what to do.
                if node.get_type().is(&self.shared.atom) { Ok(node) } else { Err(Stop::Rerun) }
            }
            _ => Err(Stop::Rerun),
        }
    }

    /// One process sends many messages, so pids are remembered.
    fn pid(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let node = self.node()?;
        let fields: [u8; 12] = self.cursor.array()?;
        let key: PidKey = (node.as_ptr().addr(), fields);
        if let Some((pid, _)) = self.known.known().pids.get(&key) {
            return Ok(pid.bind(self.py).clone());
        }
        let word =
            |at: usize| u32::from_be_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
        let name = node.getattr(intern!(self.py, "name"))?;
        let pid = self.shared.pid.bind(self.py).call1((name, word(0), word(4), word(8)))?;
        self.known.known().pids.insert(key, (pid.clone().unbind(), node.unbind()));
        Ok(pid)
    }

    fn reference(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let count = self.cursor.u16()?;
        if count > MAX_REFERENCE_WORDS {
            return Err(Stop::Rerun);
        }
        let node = self.node()?;
        let fields = self.cursor.take(4 + 4 * count)?;
        let known = self.known.known().references.read(node.as_ptr().addr(), fields);
        if let Some(reference) = known {
            return Ok(reference.bind(self.py).clone());
        }
        let mut words =
            fields.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        let creation = words.next();
        // What the constructor does, in half the time: each request brings a reference of its own.
        let reference = self.shared.reference_fields.bind(self.py).call0()?;
        reference.setattr(intern!(self.py, "node"), node.getattr(intern!(self.py, "name"))?)?;
        reference.setattr(intern!(self.py, "creation"), creation)?;
        reference.setattr(intern!(self.py, "ids"), PyTuple::new(self.py, words)?)?;
        reference.setattr(intern!(self.py, "__class__"), &self.shared.reference)?;
        self.known.known().references.insert(&reference, &node, fields);
        Ok(reference)
    }
}
