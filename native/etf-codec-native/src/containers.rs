//! Containers, opened: what precedes their elements is written, and their elements wait.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use crate::output::LARGE_BYTES;
use crate::stop::{Outcome, Stop};
use crate::tags;
use crate::writer::{Opened, Pending, Writer};

/// The Python codec writes shorter lists of floats one by one, and counts them then.
const FLOATS_FROM: usize = 8;

/// NEW_FLOAT_EXT and its double.
const FLOAT_BYTES: usize = 9;

impl<'py> Writer<'_, 'py> {
    pub fn open(&mut self, item: &Bound<'py, PyAny>) -> Opened<'py> {
        if let Ok(tuple) = item.cast_exact::<PyTuple>() {
            self.tuple(tuple)
        } else if let Ok(list) = item.cast_exact::<PyList>() {
            self.list(list)
        } else if let Ok(dict) = item.cast_exact::<PyDict>() {
            self.dict(dict)
        } else if item.is_exact_instance_of::<PyByteArray>() || item.is_exact_instance_of::<PyMemoryView>() {
            self.buffer(item)
        } else if self.is_a(item, &self.shared.frozen_list) {
            let items = item.getattr(intern!(self.py, "items"))?;
            self.list(&items.cast::<PyTuple>().map_err(|_| Stop::Rerun)?.to_list())
        } else if self.is_a(item, &self.shared.frozen_map) {
            self.frozen_map(item)
        } else if self.is_a(item, &self.shared.improper_list) {
            self.improper(item)
        } else {
            self.rare(item)
        }
    }

    #[inline]
    fn tuple(&mut self, tuple: &Bound<'py, PyTuple>) -> Opened<'py> {
        let count = tuple.len();
        if let Ok(small) = u8::try_from(count) {
            self.out.tagged(tags::SMALL_TUPLE_EXT, [small]);
        } else if count > self.bounds.tuple_arity {
            return Err(Stop::Rerun);
        } else {
            self.counted(tags::LARGE_TUPLE_EXT, count)?;
        }
        Ok((count > 0).then(|| (Pending::Tuple(tuple.clone(), 0, count), count)))
    }

    fn counted(&mut self, tag: u8, count: usize) -> Outcome<()> {
        let count = u32::try_from(count).map_err(|_| Stop::Rerun)?;
        self.out.tagged(tag, count.to_be_bytes());
        Ok(())
    }

    /// Numbers of one class are written at once, and anything else element by element.
    fn list(&mut self, list: &Bound<'py, PyList>) -> Opened<'py> {
        let count = list.len();
        if count == 0 {
            self.out.byte(tags::NIL_EXT);
            return Ok(None);
        }
        if count > self.bounds.elements {
            return Err(Stop::Rerun);
        }
        let start = self.out.bytes.len();
        let first = list.get_item(0)?;
        if first.is_exact_instance_of::<PyInt>() {
            if self.string(list, count)? {
                return Ok(None);
            }
            self.out.bytes.truncate(start);
        }
        self.counted(tags::LIST_EXT, count)?;
        let body = self.out.bytes.len();
        let whole = if first.is_exact_instance_of::<PyInt>() {
            self.integers(list)?
        } else {
            first.is_exact_instance_of::<PyFloat>() && count >= FLOATS_FROM && self.floats(list)?
        };
        if whole {
            self.out.byte(tags::NIL_EXT);
            return Ok(None);
        }
        self.out.bytes.truncate(body);
        Ok(Some((Pending::List(list.clone(), 0, count), count)))
    }

    /// Whether the list could be written as a string of bytes.
    fn string(&mut self, list: &Bound<'py, PyList>, count: usize) -> Outcome<bool> {
        let Ok(size) = u16::try_from(count) else { return Ok(false) };
        self.out.tagged(tags::STRING_EXT, size.to_be_bytes());
        for index in 0..count {
            let item = list.get_item(index)?;
            let Ok(value) = item.cast_exact::<PyInt>() else { return Ok(false) };
            let Ok(value) = value.extract::<i64>() else { return Ok(false) };
            let Ok(byte) = u8::try_from(value) else { return Ok(false) };
            self.out.byte(byte);
        }
        Ok(true)
    }

    /// Whether the list held integers only; they are written then.
    fn integers(&mut self, list: &Bound<'py, PyList>) -> Outcome<bool> {
        for index in 0..list.len() {
            let item = list.get_item(index)?;
            let Ok(value) = item.cast_exact::<PyInt>() else { return Ok(false) };
            self.integer(value)?;
        }
        Ok(true)
    }

    fn floats(&mut self, list: &Bound<'py, PyList>) -> Outcome<bool> {
        let start = self.out.bytes.len();
        self.out.bytes.resize(start + list.len() * FLOAT_BYTES, tags::NEW_FLOAT_EXT);
        for (index, wire) in self.out.bytes[start..].chunks_exact_mut(FLOAT_BYTES).enumerate() {
            let item = list.get_item(index)?;
            let Ok(value) = item.cast_exact::<PyFloat>() else { return Ok(false) };
            let value = value.value();
            if !value.is_finite() {
                return Err(Stop::Rerun);
            }
            wire[1..].copy_from_slice(&value.to_be_bytes());
        }
        Ok(true)
    }

    fn dict(&mut self, dict: &Bound<'py, PyDict>) -> Opened<'py> {
        let count = dict.len();
        let (mut bytes, mut text, mut other) = (false, false, false);
        let mut items = Vec::with_capacity(2 * count);
        for (key, value) in dict {
            if key.is_exact_instance_of::<PyBytes>() {
                bytes = true;
            } else if key.is_exact_instance_of::<PyString>() {
                text = true;
            } else {
                other |= !self.is_told_apart(&key);
            }
            items.push(key);
            items.push(value);
        }
        if other || (bytes && text) {
            let keys = PyList::new(self.py, items.iter().step_by(2))?;
            let writing = self.writing()?;
            self.shared.check_keys.bind(self.py).call1((keys, writing))?;
        }
        self.counted(tags::MAP_EXT, count)?;
        Ok((count > 0).then(|| (Pending::Items(items.into_iter()), 2 * count)))
    }

    /// Whether no key of another class can be the same term as this one.
    fn is_told_apart(&self, key: &Bound<'py, PyAny>) -> bool {
        self.is_a(key, &self.shared.atom)
            || key.is_exact_instance_of::<PyInt>()
            || key.is_exact_instance_of::<PyFloat>()
            || self.is_a(key, &self.shared.pid)
            || self.is_a(key, &self.shared.reference)
    }

    fn frozen_map(&mut self, item: &Bound<'py, PyAny>) -> Opened<'py> {
        let mut items = Vec::with_capacity(2 * item.len()?);
        for pair in item.call_method0(intern!(self.py, "pairs"))?.try_iter()? {
            let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
            items.push(key);
            items.push(value);
        }
        let count = items.len();
        self.counted(tags::MAP_EXT, count / 2)?;
        Ok((count > 0).then(|| (Pending::Items(items.into_iter()), count)))
    }

    fn improper(&mut self, item: &Bound<'py, PyAny>) -> Opened<'py> {
        let elements = item.getattr(intern!(self.py, "items"))?;
        let elements = elements.cast::<PyTuple>().map_err(|_| Stop::Rerun)?;
        let tail = item.getattr(intern!(self.py, "tail"))?;
        self.counted(tags::LIST_EXT, elements.len())?;
        if elements.len() == 1 && self.is_a(&tail, &self.shared.reference) {
            let head = elements.get_borrowed_item(0)?;
            if self.is_a(&head, &self.shared.atom) {
                if self.budget < 2 || self.depth >= self.bounds.depth {
                    return Err(Stop::Rerun);
                }
                self.budget -= 2;
                self.known.known().tags.insert(item, &head, &tail);
                self.atom(&head)?;
                self.reference(&tail)?;
                return Ok(None);
            }
        }
        let mut items: Vec<_> = elements.iter().collect();
        items.push(tail);
        let count = items.len();
        Ok(Some((Pending::Items(items.into_iter()), count)))
    }

    fn buffer(&mut self, item: &Bound<'py, PyAny>) -> Opened<'py> {
        let view = PyMemoryView::from(item)?.into_any();
        let size: usize = view.getattr(intern!(self.py, "nbytes"))?.extract()?;
        self.binary_header(size)?;
        if size >= LARGE_BYTES && view.getattr(intern!(self.py, "c_contiguous"))?.is_truthy()? {
            self.out.object(view.call_method1(intern!(self.py, "cast"), ("B",))?, size);
        } else {
            self.append(&view.call_method0(intern!(self.py, "tobytes"))?)?;
        }
        Ok(None)
    }

    /// What Python writes, or a value of a subclass as what it counts as.
    fn rare(&mut self, item: &Bound<'py, PyAny>) -> Opened<'py> {
        let py = self.py;
        if self.is_a(item, &self.shared.fun) && self.in_full() {
            let wire = item.getattr(intern!(py, "wire"))?;
            return self.append(&wire).map(|()| None);
        }
        let writers = self.shared.writers.bind(py);
        if let Ok(write) = writers.get_item(item.get_type()) {
            if self.referred.is_some() {
                return Err(Stop::Rerun); // Python's writers want to refer in their own way
            }
            let wire = write.call1((item, self.writing()?, self.wires))?;
            return self.append(&wire).map(|()| None);
        }
        let plain = self.shared.plain.bind(py).call1((item,))?;
        if self.leaf(&plain)? { Ok(None) } else { self.open(&plain) }
    }

    /// The options as Python's writers want them.
    fn writing(&self) -> PyResult<Bound<'py, PyAny>> {
        let limits = self.limits.unwrap_or(self.shared.default_limits.bind(self.py));
        self.shared.make_writing.bind(self.py).call1((false, self.none, false, limits))
    }
}
