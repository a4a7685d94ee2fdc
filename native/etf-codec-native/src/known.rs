//! What calls remember for each other: the objects of names and processes met before.
//!
//! Bounded: a peer that invents names costs speed and never memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{LazyLock, Mutex, MutexGuard, TryLockError};

use foldhash::fast::RandomState;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

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
pub type PidKey = (Address, [u8; PID_FIELDS_BYTES]);

/// As long as the names of fields are. What is longer is likely to be data.
const MAX_KEY_BYTES: usize = 64;
const KEY_SLOTS: usize = 1024;

/// A key as it is on the wire, and its object.
type Key = (Box<[u8]>, Py<PyBytes>);

/// Binaries that were map keys: messages of one kind have the same keys. Each has one place it can be in, so
/// that keys which never come again cost nothing to forget.
pub struct Keys {
    hasher: RandomState,
    slots: Vec<Option<Key>>,
}

impl Keys {
    fn new() -> Self {
        Keys { hasher: RandomState::default(), slots: Vec::new() }
    }

    #[inline]
    pub fn get<'py>(&mut self, py: Python<'py>, text: &[u8]) -> Bound<'py, PyBytes> {
        if text.len() > MAX_KEY_BYTES {
            return PyBytes::new(py, text);
        }
        if self.slots.is_empty() {
            self.slots.resize_with(KEY_SLOTS, || None);
        }
        let slot = &mut self.slots[self.hasher.hash_one(text) as usize % KEY_SLOTS];
        match slot {
            Some((known, key)) if **known == *text => key.bind(py).clone(),
            _ => {
                let key = PyBytes::new(py, text);
                *slot = Some((text.into(), key.clone().unbind()));
                key
            }
        }
    }
}

/// OTP 24+ accepts five words, since 27 it sends them for aliases.
pub const MAX_REFERENCE_WORDS: usize = 5;

/// The creation and the words of a reference, as they are on the wire.
pub const MAX_REFERENCE_BYTES: usize = 4 + 4 * MAX_REFERENCE_WORDS;

/// A request and its reply have the same reference, four times in all; what comes between them is little.
const REFERENCE_SLOTS: usize = 64;

/// A reference, its node as an atom, and the rest of its external form.
pub struct KnownReference {
    pub object: Py<PyAny>,
    pub node: Py<PyAny>,
    fields: [u8; MAX_REFERENCE_BYTES],
    size: usize,
}

impl KnownReference {
    pub fn new(object: &Bound<'_, PyAny>, node: &Bound<'_, PyAny>, wire: &[u8]) -> Self {
        let mut fields = [0; MAX_REFERENCE_BYTES];
        let size = wire.len().min(MAX_REFERENCE_BYTES);
        fields[..size].copy_from_slice(&wire[..size]);
        KnownReference { object: object.clone().unbind(), node: node.clone().unbind(), fields, size }
    }

    pub fn fields(&self) -> &[u8] {
        &self.fields[..self.size]
    }
}

/// The references of late, each in one place by its fields and one by its address.
pub struct References {
    hasher: RandomState,
    by_fields: Vec<Option<KnownReference>>,
    by_address: Vec<Option<KnownReference>>,
}

impl References {
    fn new() -> Self {
        References { hasher: RandomState::default(), by_fields: Vec::new(), by_address: Vec::new() }
    }

    fn place(&self, fields: &[u8]) -> usize {
        self.hasher.hash_one(fields) as usize % REFERENCE_SLOTS
    }

    /// The one of a node with these fields.
    pub fn read(&self, node: Address, fields: &[u8]) -> Option<&Py<PyAny>> {
        let known = self.by_fields.get(self.place(fields))?.as_ref()?;
        let same = known.node.as_ptr().addr() == node && known.fields() == fields;
        same.then_some(&known.object)
    }

    /// What is known of an object.
    pub fn written(&self, address: Address) -> Option<&KnownReference> {
        let known = self.by_address.get(place_of(address))?.as_ref()?;
        (known.object.as_ptr().addr() == address).then_some(known)
    }

    pub fn insert(&mut self, object: &Bound<'_, PyAny>, node: &Bound<'_, PyAny>, wire: &[u8]) {
        if self.by_fields.is_empty() {
            self.by_fields.resize_with(REFERENCE_SLOTS, || None);
            self.by_address.resize_with(REFERENCE_SLOTS, || None);
        }
        let place = self.place(wire);
        self.by_fields[place] = Some(KnownReference::new(object, node, wire));
        self.by_address[place_of(object.as_ptr().addr())] = Some(KnownReference::new(object, node, wire));
    }
}

/// Improper lists of an atom and a reference, `[alias | Ref]`: the tag of a request, which is that of its reply.
pub struct Tags(Vec<Option<Tag>>);

/// The list, its one element, and its tail.
type Tag = [Py<PyAny>; 3];

impl Tags {
    pub fn get(&self, head: &Bound<'_, PyAny>, tail: &Bound<'_, PyAny>) -> Option<&Py<PyAny>> {
        let [list, other_head, other_tail] = self.0.get(place_of(tail.as_ptr().addr()))?.as_ref()?;
        (other_tail.is(tail) && other_head.is(head)).then_some(list)
    }

    pub fn insert(&mut self, list: &Bound<'_, PyAny>, head: &Bound<'_, PyAny>, tail: &Bound<'_, PyAny>) {
        if self.0.is_empty() {
            self.0.resize_with(REFERENCE_SLOTS, || None);
        }
        let tag = [list, head, tail].map(|object| object.clone().unbind());
        self.0[place_of(tail.as_ptr().addr())] = Some(tag);
    }
}

/// Objects of one size stand 16 bytes apart, or a multiple of them.
fn place_of(address: Address) -> usize {
    (address >> 4) % REFERENCE_SLOTS
}

/// The id, serial and creation of NEW_PID_EXT, 32 bits each.
pub const PID_FIELDS_BYTES: usize = 12;

/// A pid, its node as an atom, and what follows that in its external form.
pub struct ReferringPid {
    pub pid: Py<PyAny>,
    pub node: Py<PyAny>,
    pub fields: [u8; PID_FIELDS_BYTES],
}

pub struct Known {
    /// Binaries in key position.
    pub keys: Keys,
    /// Atoms, and the booleans, by their UTF-8 text.
    pub atoms: Cache<Box<[u8]>, Py<PyAny>>,
    /// Pids, with the atom of their node.
    pub pids: Cache<PidKey, (Py<PyAny>, Py<PyAny>)>,
    /// References, which come back with replies.
    pub references: References,
    /// What references come in.
    pub tags: Tags,
    /// The external form of atoms and pids.
    pub wires: Cache<Address, (Py<PyAny>, Box<[u8]>)>,
    /// Pids behind a header that lists their nodes.
    pub referring: Cache<Address, ReferringPid>,
    /// The atoms of nodes, by the address of the name.
    pub nodes: Cache<Address, (Py<PyAny>, Py<PyAny>)>,
}

impl Known {
    fn new() -> Self {
        Known {
            keys: Keys::new(),
            atoms: Cache::new(),
            pids: Cache::new(),
            references: References::new(),
            tags: Tags(Vec::new()),
            wires: Cache::new(),
            referring: Cache::new(),
            nodes: Cache::new(),
        }
    }
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(|| Mutex::new(Known::new()));

enum Held {
    Shared(MutexGuard<'static, Known>),
    Own(Box<Known>),
}

/// `Known` for the time of one call. While Python code runs in the middle of a call, another thread may start
/// a call of its own: that one does not wait, and starts with nothing known.
pub struct Lease(Option<Held>);

impl Lease {
    /// Nothing is taken before it is needed.
    pub fn new() -> Self {
        Lease(None)
    }

    fn take() -> Held {
        match KNOWN.try_lock() {
            Ok(known) => Held::Shared(known),
            // A cache that a panic left behind has whole entries, or lacks some.
            Err(TryLockError::Poisoned(poisoned)) => Held::Shared(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Held::Own(Box::new(Known::new())),
        }
    }

    #[inline]
    pub fn known(&mut self) -> &mut Known {
        match self.0.get_or_insert_with(Lease::take) {
            Held::Shared(known) => known,
            Held::Own(known) => known,
        }
    }
}
