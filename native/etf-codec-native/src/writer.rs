//! The loop that writes terms, with a stack of its own: no value, even one in itself, exhausts the machine's.

use std::vec::IntoIter;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use smallvec::SmallVec;

use crate::bounds::Bounds;
use crate::known::Lease;
use crate::output::Output;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop};
use crate::tags;

/// Room for the atoms of most messages.
const FEW_ATOMS: usize = 16;

/// Atoms in their order.
pub type Referred<'py> = SmallVec<[Bound<'py, PyAny>; FEW_ATOMS]>;

/// Room for the depth of most messages.
const FEW_FRAMES: usize = 8;

/// What is open now, and how many elements it has; nothing, if all is written.
pub type Opened<'py> = Outcome<Option<(Pending<'py>, usize)>>;

/// The elements of an open container that are still to be written.
pub enum Pending<'py> {
    Tuple(Bound<'py, PyTuple>, usize, usize),
    /// Followed by NIL_EXT.
    List(Bound<'py, PyList>, usize, usize),
    Items(IntoIter<Bound<'py, PyAny>>),
}

/// The options of one call, and the state of writing its terms.
pub struct Writer<'a, 'py> {
    pub py: Python<'py>,
    pub shared: &'static Shared,
    pub bounds: &'a Bounds,
    pub limits: Option<&'a Bound<'py, PyAny>>,
    pub none: Option<&'a Bound<'py, PyAny>>,
    pub wires: Option<&'a Bound<'py, PyAny>>,
    /// The atoms written as references, in their order, if they are.
    pub referred: Option<Referred<'py>>,
    pub out: Output<'py>,
    pub known: Lease,
    pub budget: usize,
    /// How many containers are open.
    pub depth: usize,
}

impl<'a, 'py> Writer<'a, 'py> {
    #[inline(always)] // Moving it takes longer than writing a small term.
    pub fn new(
        py: Python<'py>,
        shared: &'static Shared,
        bounds: &'a Bounds,
        limits: Option<&'a Bound<'py, PyAny>>,
        none: Option<&'a Bound<'py, PyAny>>,
        wires: Option<&'a Bound<'py, PyAny>>,
    ) -> Self {
        let (out, known) = (Output::new(), Lease::new());
        Writer { py, shared, bounds, limits, none, wires, referred: None, out, known, budget: 0, depth: 0 }
    }

    /// Whether atoms are written with their text, those in identifiers included.
    #[inline]
    pub fn in_full(&self) -> bool {
        self.wires.is_none() && self.referred.is_none()
    }

    /// Write a term after what is there.
    pub fn write(&mut self, term: &Bound<'py, PyAny>) -> Outcome<()> {
        self.budget = self.bounds.elements;
        if self.leaf(term)? {
            return Ok(());
        }
        let mut frames: SmallVec<[Pending<'py>; FEW_FRAMES]> = SmallVec::new();
        let mut opened = self.open(term)?;
        loop {
            if let Some((pending, count)) = opened {
                if count > self.budget || frames.len() >= self.bounds.depth {
                    return Err(Stop::Rerun);
                }
                self.budget -= count;
                frames.push(pending);
            } else {
                frames.pop();
            }
            self.depth = frames.len();
            let Some(frame) = frames.last_mut() else { return Ok(()) };
            opened = self.proceed(frame)?;
        }
    }

    /// Write elements up to the next container that has some; none if there is no such container.
    #[inline]
    fn proceed(&mut self, frame: &mut Pending<'py>) -> Opened<'py> {
        match frame {
            Pending::Tuple(items, index, count) => {
                while *index < *count {
                    let item = items.get_borrowed_item(*index)?;
                    *index += 1;
                    if let Some(opened) = self.element(&item)? {
                        return Ok(Some(opened));
                    }
                }
            }
            Pending::List(items, index, count) => {
                while *index < *count {
                    let item = items.get_item(*index)?;
                    *index += 1;
                    if let Some(opened) = self.element(&item)? {
                        return Ok(Some(opened));
                    }
                }
                self.out.byte(tags::NIL_EXT);
            }
            Pending::Items(items) => {
                for item in items {
                    if let Some(opened) = self.element(&item)? {
                        return Ok(Some(opened));
                    }
                }
            }
        }
        Ok(None)
    }

    #[inline(always)]
    fn element(&mut self, item: &Bound<'py, PyAny>) -> Opened<'py> {
        if self.leaf(item)? { Ok(None) } else { self.open(item) }
    }
}
