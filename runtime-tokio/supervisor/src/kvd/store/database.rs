//! The database in its file: how it is made, read and changed.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::{StoreError, Write};

const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The key in [`META`] that counts committed transactions.
const REVISION: &str = "revision";
/// redb would take a gibibyte.
const CACHE: usize = 64 * 1024 * 1024;

/// What is on disk, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Committed transactions.
    pub(super) revision: u64,
    /// Keys that have a value.
    pub(super) keys: u64,
}

/// Opens the database, or makes it. A new one gets its name only when it is whole: whoever makes it may be
/// killed half-way, and what is left then cannot be opened any more. The writer lock is held meanwhile.
pub(super) fn open(path: &Path) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    match builder.open(path).map_err(redb::Error::from) {
        Err(redb::Error::Io(error)) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let unnamed = path.with_extension("new");
    match fs::remove_file(&unnamed) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    builder.create(&unnamed)?.close()?;
    fs::rename(&unnamed, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(builder.open(path)?)
}

/// What is on disk, in numbers.
pub(super) fn count(database: &Database) -> Result<Counts, StoreError> {
    let transaction = database.begin_read()?;
    let absent_is_zero = |error| match error {
        redb::TableError::TableDoesNotExist(_) => Ok(0),
        error => Err(StoreError::from(error)),
    };
    let revision = match transaction.open_table(META) {
        Ok(meta) => meta.get(REVISION)?.map_or(0, |stored| stored.value()),
        Err(error) => absent_is_zero(error)?,
    };
    let keys = match transaction.open_table(DATA) {
        Ok(data) => data.len()?,
        Err(error) => absent_is_zero(error)?,
    };
    Ok(Counts { revision, keys })
}

/// The value of `key`, if it has one.
pub(super) fn get(database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(DATA) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let value = table.get(key)?;
    Ok(value.map(|value| value.value().to_vec()))
}

/// One durable transaction for all of `batches`: for each write whether its key was there before, and what is
/// on disk then.
pub(super) fn commit(
    database: &Database,
    batches: &[Vec<Write>],
) -> Result<(Vec<Vec<bool>>, Counts), StoreError> {
    let transaction = database.begin_write()?;
    let mut existed = Vec::with_capacity(batches.len());
    let (revision, keys);
    {
        let mut data = transaction.open_table(DATA)?;
        for writes in batches {
            let mut answers = Vec::with_capacity(writes.len());
            for write in writes {
                answers.push(match write {
                    Write::Set { key, value } => {
                        data.insert(key.as_slice(), value.as_slice())?.is_some()
                    }
                    Write::Del { key } => data.remove(key.as_slice())?.is_some(),
                });
            }
            existed.push(answers);
        }
        keys = data.len()?;
        let mut meta = transaction.open_table(META)?;
        revision = meta.get(REVISION)?.map_or(0, |stored| stored.value()) + 1;
        meta.insert(REVISION, revision)?;
    }
    transaction.commit()?;
    Ok((existed, Counts { revision, keys }))
}
