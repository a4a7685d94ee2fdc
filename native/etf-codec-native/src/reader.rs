//! The loop that reads terms, with a stack of its own: no input exhausts the machine's.

use std::cell::OnceCell;
use std::ops::Range;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PySlice, PyTuple};

use smallvec::SmallVec;

use crate::bounds::Bounds;
use crate::cursor::Cursor;
use crate::decode::bytes_of;
use crate::known::Lease;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop};
use crate::tags;

/// Room for the elements, and for the depth, of most messages.
const FEW_VALUES: usize = 32;
const FEW_FRAMES: usize = 8;

/// What a container is made into when its elements are there.
#[derive(Clone, Copy)]
enum Kind {
    Whole,
    Tuple,
    List,
    /// A list that does not end in NIL_EXT: its last element is its tail.
    Tail,
    Map,
    /// A fun, an export or a record: Python makes them.
    Opaque(u8),
}

struct Frame {
    kind: Kind,
    /// Offset of its tag.
    start: usize,
    /// Where its elements begin on the stack of values.
    base: usize,
    /// How many elements are to come.
    left: usize,
}

impl Frame {
    /// Whether the element just begun, which `left` no longer counts, is the key of a map.
    #[inline(always)]
    fn is_at_key(&self) -> bool {
        matches!(self.kind, Kind::Map) && self.left % 2 == 1
    }
}

/// A piece of an input that came in several. Most are copied as they are, and never looked into.
pub struct Part<'py> {
    object: Bound<'py, PyAny>,
    size: usize,
    read: OnceCell<(Bound<'py, PyBytes>, Range<usize>)>,
}

impl<'py> Part<'py> {
    pub fn new(object: Bound<'py, PyAny>) -> PyResult<Self> {
        let size = object.len()?;
        Ok(Part { object, size, read: OnceCell::new() })
    }

    fn bytes(&self) -> Outcome<&[u8]> {
        let (bytes, range) = match self.read.get() {
            Some(read) => read,
            None => {
                let read = bytes_of(&self.object)?;
                self.read.get_or_init(|| read)
            }
        };
        bytes.as_bytes().get(range.clone()).ok_or(Stop::Rerun)
    }
}

/// The options of one call, and the state of reading one term.
pub struct Reader<'a, 'py> {
    pub py: Python<'py>,
    pub shared: &'static Shared,
    /// The input as Python's readers want it: the bytes of the cursor, and maybe more behind them.
    pub object: &'a Bound<'py, PyBytes>,
    pub cursor: Cursor<'a>,
    /// The object that has the bytes of the cursor: `object`, or one of the parts.
    holder: &'a Bound<'py, PyAny>,
    /// What follows the bytes of the cursor, in parts, and how many bytes came before those.
    pub rest: &'a [Part<'py>],
    pub passed: usize,
    pub bounds: &'a Bounds,
    pub limits: Option<&'a Bound<'py, PyAny>>,
    pub none: Option<&'a Bound<'py, PyAny>>,
    pub refs: Option<&'a Bound<'py, PyAny>>,
    pub known: Lease,
    values: SmallVec<[Bound<'py, PyAny>; FEW_VALUES]>,
    budget: usize,
}

impl<'a, 'py> Reader<'a, 'py> {
    #[inline(always)] // Moving it takes longer than reading a small term.
    pub fn new(
        shared: &'static Shared,
        object: &'a Bound<'py, PyBytes>,
        cursor: Cursor<'a>,
        bounds: &'a Bounds,
        limits: Option<&'a Bound<'py, PyAny>>,
        none: Option<&'a Bound<'py, PyAny>>,
        refs: Option<&'a Bound<'py, PyAny>>,
    ) -> Self {
        Reader {
            py: object.py(),
            shared,
            object,
            cursor,
            holder: object.as_any(),
            rest: &[],
            passed: 0,
            bounds,
            limits,
            none,
            refs,
            known: Lease::new(),
            values: SmallVec::new(),
            budget: bounds.elements,
        }
    }

    /// The term at the cursor, which then stands behind it.
    pub fn read(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let start = self.cursor;
        if let Some(leaf) = self.only_leaf()? {
            return Ok(leaf);
        }
        self.cursor = start;
        let mut frames: SmallVec<[Frame; FEW_FRAMES]> = SmallVec::new();
        let mut frame = Frame { kind: Kind::Whole, start: self.cursor.pos, base: 0, left: 1 };
        loop {
            while frame.left > 0 {
                frame.left -= 1;
                let start = self.cursor.pos;
                let tag = self.cursor.u8()?;
                if let Some(leaf) = self.leaf(tag, frame.is_at_key())? {
                    self.values.push(leaf);
                } else if let Some(opened) = self.open(tag, start, frames.len())? {
                    frames.push(frame);
                    frame = opened;
                } else {
                    let value = self.rare(tag, start)?;
                    self.values.push(value);
                }
            }
            if let Kind::List = frame.kind {
                if self.cursor.peek()? != tags::NIL_EXT {
                    frame.kind = Kind::Tail;
                    frame.left = 1;
                    continue;
                }
                self.cursor.pos += 1;
            }
            if let Kind::Whole = frame.kind {
                return self.values.pop().ok_or(Stop::Rerun);
            }
            let made = self.make(&frame)?;
            self.values.push(made);
            frame = frames.pop().ok_or(Stop::Rerun)?;
        }
    }

    /// The term, if it is a leaf: what follows would take longer to set up than to do.
    #[inline(never)]
    fn only_leaf(&mut self) -> Outcome<Option<Bound<'py, PyAny>>> {
        let tag = self.cursor.u8()?;
        self.leaf(tag, false)
    }

    /// A container whose elements follow, if the tag is that of one.
    #[inline]
    fn open(&mut self, tag: u8, start: usize, depth: usize) -> Outcome<Option<Frame>> {
        let (kind, count) = match tag {
            tags::SMALL_TUPLE_EXT => (Kind::Tuple, usize::from(self.cursor.u8()?)),
            tags::LIST_EXT => (Kind::List, self.cursor.size()?),
            tags::MAP_EXT => (Kind::Map, self.twice()?),
            tags::LARGE_TUPLE_EXT => (Kind::Tuple, self.cursor.size()?),
            tags::EXPORT_EXT => (Kind::Opaque(tag), 3),
            tags::NEW_FUN_EXT => {
                self.cursor.take(25)?; // size, arity, hash and index, which Python reads
                (Kind::Opaque(tag), self.cursor.size()?.checked_add(4).ok_or(Stop::Rerun)?)
            }
            tags::RECORD_EXT => {
                let count = self.twice()?.checked_add(2).ok_or(Stop::Rerun)?;
                self.cursor.u8()?;
                (Kind::Opaque(tag), count)
            }
            _ => return Ok(None),
        };
        let too_wide = tag == tags::LARGE_TUPLE_EXT && count > self.bounds.tuple_arity;
        if too_wide || count > self.budget || depth >= self.bounds.depth || count > self.cursor.left() {
            return Err(Stop::Rerun);
        }
        self.budget -= count;
        Ok(Some(Frame { kind, start, base: self.values.len(), left: count }))
    }

    fn twice(&mut self) -> Outcome<usize> {
        self.cursor.size()?.checked_mul(2).ok_or(Stop::Rerun)
    }

    /// The container of a frame, whose elements leave the stack of values.
    #[inline]
    fn make(&mut self, frame: &Frame) -> Outcome<Bound<'py, PyAny>> {
        if let Kind::Map = frame.kind {
            if let Some(map) = self.map(&self.values[frame.base..])? {
                self.values.truncate(frame.base);
                return Ok(map.into_any());
            }
        }
        if let Kind::Tail = frame.kind {
            if let Some(made) = self.improper(frame.base)? {
                self.values.truncate(frame.base);
                return Ok(made);
            }
        }
        let elements = self.values.drain(frame.base..);
        if let Kind::Tuple = frame.kind {
            return Ok(PyTuple::new(self.py, elements)?.into_any());
        }
        let items = PyList::new(self.py, elements)?;
        match frame.kind {
            Kind::Map => self.odd_map(items, frame.start),
            Kind::Tail => Ok(self.shared.make_list.bind(self.py).call1((items,))?),
            Kind::Opaque(tag) => self.opaque(tag, items, frame.start),
            _ => Ok(items.into_any()),
        }
    }

    /// An improper list, made as the constructor does; none if its tail makes it something else.
    fn improper(&mut self, base: usize) -> Outcome<Option<Bound<'py, PyAny>>> {
        let (py, shared) = (self.py, self.shared);
        let Some((tail, items)) = self.values[base..].split_last() else { return Ok(None) };
        let head = match items {
            [head] if tail.get_type().is(&shared.reference) && head.get_type().is(&shared.atom) => Some(head),
            _ => None,
        };
        if let Some(tag) = head.and_then(|head| self.known.known().tags.get(head, tail)) {
            return Ok(Some(tag.bind(py).clone()));
        }
        let joins = tail.is_exact_instance_of::<PyList>() || tail.get_type().is(&shared.improper_list);
        if items.is_empty() || joins {
            return Ok(None);
        }
        let list = shared.improper_list_fields.bind(py).call0()?;
        list.setattr(intern!(py, "items"), PyTuple::new(py, items)?)?;
        list.setattr(intern!(py, "tail"), tail)?;
        list.setattr(intern!(py, "__class__"), &shared.improper_list)?;
        if let Some(head) = head {
            self.known.known().tags.insert(&list, head, tail);
        }
        Ok(Some(list))
    }

    /// A dict; none if some key cannot be hashed, two are equal in Python, or hashes must be looked at.
    fn map(&self, elements: &[Bound<'py, PyAny>]) -> Outcome<Option<Bound<'py, PyDict>>> {
        let count = elements.len() / 2;
        if count > self.bounds.key_collisions && self.is_crowded(elements)? {
            return Ok(None);
        }
        let map = PyDict::new(self.py);
        for pair in elements.chunks_exact(2) {
            if let Err(error) = map.set_item(&pair[0], &pair[1]) {
                return declined(error);
            }
        }
        Ok((map.len() == count).then_some(map))
    }

    /// Whether more keys share a hash than the limits allow; so it seems, too, if one has none.
    fn is_crowded(&self, elements: &[Bound<'py, PyAny>]) -> Outcome<bool> {
        let mut hashes = Vec::with_capacity(elements.len() / 2);
        for pair in elements.chunks_exact(2) {
            match pair[0].hash() {
                Ok(hash) => hashes.push(hash),
                Err(error) => return declined(error).map(|none: Option<()>| none.is_none()),
            }
        }
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        Ok(count - hashes.len() > self.bounds.key_collisions)
    }

    fn odd_map(&self, items: Bound<'py, PyList>, start: usize) -> Outcome<Bound<'py, PyAny>> {
        let limits = self.limits.unwrap_or(self.shared.default_limits.bind(self.py));
        Ok(self.shared.make_map.bind(self.py).call1((items, start, limits))?)
    }

    fn opaque(&self, tag: u8, items: Bound<'py, PyList>, start: usize) -> Outcome<Bound<'py, PyAny>> {
        self.only_the_first_part()?;
        let make = self.shared.opaque.bind(self.py).get_item(tag)?;
        Ok(make.call1((items, self.object, start, self.cursor.pos, self.reading()?, self.atom_refs()))?)
    }

    /// A term without elements that only Python reads.
    fn rare(&mut self, tag: u8, start: usize) -> Outcome<Bound<'py, PyAny>> {
        self.only_the_first_part()?;
        let reader = self.shared.readers.bind(self.py).get_item(tag)?;
        let read = reader.call1((self.object, start, self.reading()?, self.atom_refs()))?;
        let (value, end): (Bound<'py, PyAny>, usize) = read.extract()?;
        if end > self.cursor.data.len() {
            return Err(Stop::Rerun); // Python's readers leave it to their loop to see that
        }
        self.cursor.pos = end;
        Ok(self.or_none(value))
    }

    /// Python's readers index `object`, which has only the first part of the input.
    fn only_the_first_part(&self) -> Outcome<()> {
        if self.passed == 0 { Ok(()) } else { Err(Stop::Rerun) }
    }

    /// A binary that goes on in the parts that follow; the cursor moves into the one where it ends.
    #[cold]
    pub fn gathered(&mut self, size: usize) -> Outcome<Bound<'py, PyAny>> {
        let pieces = PyList::new(self.py, [slice(self.holder, self.cursor.pos..self.cursor.data.len())?])?;
        let mut missing = size - self.cursor.left();
        self.passed += self.cursor.data.len();
        loop {
            let (part, rest) = self.rest.split_first().ok_or(Stop::Rerun)?;
            self.rest = rest;
            if part.size >= missing {
                pieces.append(slice(&part.object, 0..missing)?)?;
                self.cursor = Cursor { data: part.bytes()?, pos: missing };
                self.holder = &part.object;
                break;
            }
            pieces.append(&part.object)?;
            self.passed += part.size;
            missing -= part.size;
        }
        // What `join` makes is not filled with zeros first.
        let made = PyBytes::new(self.py, b"").call_method1(intern!(self.py, "join"), (pieces,))?;
        // A part that is no row of bytes has another length than its size.
        if made.len()? == size { Ok(made) } else { Err(Stop::Rerun) }
    }

    /// The options as Python's readers want them.
    fn reading(&self) -> PyResult<Bound<'py, PyAny>> {
        if self.limits.is_none() && self.none.is_none() {
            return Ok(self.shared.default_reading.bind(self.py).clone());
        }
        let limits = self.limits.unwrap_or(self.shared.default_limits.bind(self.py));
        self.shared.reading.bind(self.py).call1((limits, self.py.None(), self.none, self.py.None()))
    }

    fn atom_refs(&self) -> Bound<'py, PyAny> {
        match self.refs {
            Some(refs) => refs.clone(),
            None => PyTuple::empty(self.py).into_any(),
        }
    }

    /// An atom as the option `none` has it.
    #[inline]
    pub fn or_none(&self, value: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        match self.none {
            Some(none) if value.is(none) => self.py.None().into_bound(self.py),
            _ => value,
        }
    }
}

fn slice<'py>(object: &Bound<'py, PyAny>, range: Range<usize>) -> Outcome<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(object)?;
    let whole = view.len()?;
    if range == (0..whole) {
        return Ok(view.into_any());
    }
    let end = |at: usize| isize::try_from(at).map_err(|_| Stop::Rerun);
    Ok(view.get_item(PySlice::new(object.py(), end(range.start)?, end(range.end)?, 1))?)
}

/// No result, for an error that Python will meet again and answer; others are passed on.
fn declined<T>(error: PyErr) -> Outcome<Option<T>> {
    match Stop::from(error) {
        Stop::Rerun => Ok(None),
        raised => Err(raised),
    }
}
