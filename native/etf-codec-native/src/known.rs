//! What calls remember for each other: the objects of names and processes met before.
//!
//! Bounded: a peer that invents names costs speed and never memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use pyo3::prelude::*;

/// As many as the Python codec keeps. When full, it starts anew.
const MAX_CACHED: usize = 4096;

pub struct Cache<K, V>(HashMap<K, V, RandomState>);

impl<K: Eq + Hash, V> Cache<K, V> {
    fn new() -> Self {
        Cache(HashMap::default())
    }

    #[inline]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.0.len() >= MAX_CACHED {
            self.0.clear();
        }
        self.0.insert(key, value);
    }
}

/// The address of an object that the entry keeps alive, so that no other object can have it.
pub type Address = usize;

/// The node, by the address of its atom, and the three fields of NEW_PID_EXT as they are on the wire.
pub type PidKey = (Address, [u8; 12]);

pub struct Known {
    /// Atoms, and the booleans, by their UTF-8 text.
    pub atoms: Cache<Box<[u8]>, Py<PyAny>>,
    /// Pids, with the atom of their node.
    pub pids: Cache<PidKey, (Py<PyAny>, Py<PyAny>)>,
    /// The external form of atoms and pids.
    pub wires: Cache<Address, (Py<PyAny>, Box<[u8]>)>,
    /// The atoms of node names, by the address of the `str`.
    pub nodes: Cache<Address, (Py<PyAny>, Py<PyAny>)>,
}

impl Known {
    fn new() -> Self {
        Known { atoms: Cache::new(), pids: Cache::new(), wires: Cache::new(), nodes: Cache::new() }
    }
}

static IDLE: Mutex<Option<Box<Known>>> = Mutex::new(None);

/// `Known` for the time of one call. It is taken out of its place and put back after: while Python code runs
/// in the middle of a call, another thread may start a call of its own, and then starts with nothing known.
pub struct Lease(Option<Box<Known>>);

impl Lease {
    /// Nothing is taken before it is needed.
    pub fn new() -> Self {
        Lease(None)
    }

    fn take() -> Box<Known> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).take();
        idle.unwrap_or_else(|| Box::new(Known::new()))
    }

    #[inline]
    pub fn known(&mut self) -> &mut Known {
        self.0.get_or_insert_with(Lease::take)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(known) = self.0.take() {
            // What was there is dropped after the lock is free: its destructors may run Python code.
            let _other = IDLE.lock().unwrap_or_else(PoisonError::into_inner).replace(known);
        }
    }
}
