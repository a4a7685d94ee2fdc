//! The loop that writes terms, with a stack of its own: no value, even one in itself, exhausts the machine's.

use std::vec::IntoIter;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::bounds::Bounds;
use crate::known::Lease;
use crate::output::Output;
use crate::shared::Shared;
use crate::stop::{Outcome, Stop};
use crate::tags;

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
    pub bounds: Bounds,
    pub limits: Option<&'a Bound<'py, PyAny>>,
    pub none: Option<&'a Bound<'py, PyAny>>,
    pub wires: Option<&'a Bound<'py, PyAny>>,
    pub out: Output<'py>,
    pub known: Lease,
    pub budget: usize,
}

impl<'a, 'py> Writer<'a, 'py> {
    #[inline(always)] // Moving it takes longer than writing a small term.
    pub fn new(
        py: Python<'py>,
        shared: &'static Shared,
        bounds: Bounds,
        limits: Option<&'a Bound<'py, PyAny>>,
        none: Option<&'a Bound<'py, PyAny>>,
        wires: Option<&'a Bound<'py, PyAny>>,
    ) -> Self {
        let (out, known) = (Output::new(), Lease::new());
        Writer { py, shared, bounds, limits, none, wires, out, known, budget: 0 }
    }

    /// Write a term after what is there.
    pub fn write(&mut self, term: Bound<'py, PyAny>) -> Outcome<()> {
        self.budget = self.bounds.elements;
        let mut frames: Vec<Pending<'py>> = Vec::new();
        let mut item = term;
        loop {
            if !self.leaf(&item)? {
                if let Some((pending, count)) = self.open(&item)? {
                    if count > self.budget || frames.len() >= self.bounds.depth {
                        return Err(Stop::Rerun);
                    }
                    self.budget -= count;
                    frames.push(pending);
                }
            }
            item = loop {
                let Some(frame) = frames.last_mut() else { return Ok(()) };
                match self.next(frame)? {
                    Some(next) => break next,
                    None => frames.pop(),
                };
            };
        }
    }

    /// The next element to write, leaves of a tuple or list aside: these are written on the way.
    #[inline]
    fn next(&mut self, frame: &mut Pending<'py>) -> Outcome<Option<Bound<'py, PyAny>>> {
        match frame {
            Pending::Tuple(items, index, count) => {
                while *index < *count {
                    let item = items.get_borrowed_item(*index)?;
                    *index += 1;
                    if !self.leaf(&item)? {
                        return Ok(Some(item.to_owned()));
                    }
                }
            }
            Pending::List(items, index, count) => {
                while *index < *count {
                    let item = items.get_item(*index)?;
                    *index += 1;
                    if !self.leaf(&item)? {
                        return Ok(Some(item));
                    }
                }
                self.out.byte(tags::NIL_EXT);
            }
            Pending::Items(items) => {
                for item in items {
                    if !self.leaf(&item)? {
                        return Ok(Some(item));
                    }
                }
            }
        }
        Ok(None)
    }
}
