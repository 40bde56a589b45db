use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Error;
use crate::record::{Record, decode};
use crate::reserve::Reserve;

const SCHEMA: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA cache_size = -512;
    CREATE TABLE IF NOT EXISTS record (
        kind    TEXT    NOT NULL,
        key     TEXT    NOT NULL,
        version INTEGER NOT NULL,
        body    BLOB    NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
";

/// A process that was killed has its lock until the kernel has closed its files, a moment after it looks as if it were gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// An open store. Shared by reference; writes are serialised.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    reserve: Reserve,
}

/// Makes the file before SQLite does, closed to others; what SQLite puts beside it has the same mode.
fn make_private(path: &Path) {
    // Where this fails SQLite fails too, and says why.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

impl Store {
    /// Opens the store at `path`, and makes it where there is none. The folder must exist.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], also when another process has it open.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        make_private(path);
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        let reserve = Reserve::of(path);
        reserve.take();
        Ok(Self { connection: Mutex::new(connection), reserve })
    }

    /// Writes `record` under `key`, in place of what was there.
    pub fn put<R: Record>(&self, key: &str, record: &R) -> Result<(), Error> {
        put(&self.lock(), key, record)
    }

    /// Reads the record under `key`; `None` where there is none.
    pub fn load<R: Record>(&self, key: &str) -> Result<Option<R>, Error> {
        load(&self.lock(), key)
    }

    /// Removes the record under `key`, and tells whether there was one.
    pub fn remove<R: Record>(&self, key: &str) -> Result<bool, Error> {
        remove::<R>(&self.lock(), key)
    }

    /// All records of a kind with their keys, in the order of the keys.
    pub fn list<R: Record>(&self) -> Result<Vec<(String, R)>, Error> {
        list(&self.lock())
    }

    /// Runs `work` in one transaction: all that it writes is there afterwards, or, where it returns an error, none.
    pub fn transaction<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        let inner = connection.transaction().map_err(|source| E::from(Error::Commit(source)))?;
        let transaction = Transaction { inner };
        let value = work(&transaction)?;
        transaction.inner.commit().map_err(|source| E::from(Error::Commit(source)))?;
        Ok(value)
    }

    /// Moves the write-ahead log into the file and waits until the disk has it (milliseconds; writers wait too).
    pub fn checkpoint(&self) -> Result<(), Error> {
        let connection = self.lock();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").map_err(Error::Checkpoint)?;
        self.reserve.take();
        Ok(())
    }

    /// Reads the whole file and tells what is damaged in it; nothing where it is sound.
    pub fn verify(&self) -> Result<Vec<String>, Error> {
        let connection = self.lock();
        let read = || {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<Result<Vec<String>, rusqlite::Error>>()
        };
        match read() {
            Ok(lines) => Ok(lines.into_iter().filter(|line| line != "ok").collect()),
            Err(error) if is_damage(&error) => Ok(vec![error.to_string()]),
            Err(source) => Err(Error::Verify(source)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held left no half-written state: SQLite rolls an unfinished transaction back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// A running transaction; see [`Store::transaction`].
#[derive(Debug)]
pub struct Transaction<'a> {
    inner: rusqlite::Transaction<'a>,
}

impl Transaction<'_> {
    /// As [`Store::put`].
    pub fn put<R: Record>(&self, key: &str, record: &R) -> Result<(), Error> {
        put(&self.inner, key, record)
    }

    /// As [`Store::load`].
    pub fn load<R: Record>(&self, key: &str) -> Result<Option<R>, Error> {
        load(&self.inner, key)
    }

    /// As [`Store::remove`].
    pub fn remove<R: Record>(&self, key: &str) -> Result<bool, Error> {
        remove::<R>(&self.inner, key)
    }

    /// As [`Store::list`].
    pub fn list<R: Record>(&self) -> Result<Vec<(String, R)>, Error> {
        list(&self.inner)
    }
}

fn failed<R: Record>(action: &'static str, key: &str) -> impl FnOnce(rusqlite::Error) -> Error {
    let key = key.to_owned();
    move |source| Error::Statement { action, table: R::TABLE, key, source }
}

fn put<R: Record>(connection: &Connection, key: &str, record: &R) -> Result<(), Error> {
    let body = serde_json::to_vec(record).map_err(|source| Error::Encode {
        table: R::TABLE,
        key: key.to_owned(),
        source,
    })?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO record (kind, key, version, body) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut statement| statement.execute(params![R::TABLE, key, R::VERSION, body]))
        .map_err(failed::<R>("write", key))?;
    Ok(())
}

fn load<R: Record>(connection: &Connection, key: &str) -> Result<Option<R>, Error> {
    let row: Option<(u32, Vec<u8>)> = connection
        .prepare_cached("SELECT version, body FROM record WHERE kind = ?1 AND key = ?2")
        .and_then(|mut statement| {
            statement.query_row(params![R::TABLE, key], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(failed::<R>("read", key))?;
    row.map(|(version, body)| decode_row(key, version, &body)).transpose()
}

fn remove<R: Record>(connection: &Connection, key: &str) -> Result<bool, Error> {
    let removed = connection
        .prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")
        .and_then(|mut statement| statement.execute(params![R::TABLE, key]))
        .map_err(failed::<R>("remove", key))?;
    Ok(removed > 0)
}

fn list<R: Record>(connection: &Connection) -> Result<Vec<(String, R)>, Error> {
    let rows: Vec<(String, u32, Vec<u8>)> = connection
        .prepare_cached("SELECT key, version, body FROM record WHERE kind = ?1 ORDER BY key")
        .and_then(|mut statement| {
            statement
                .query_map(params![R::TABLE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()
        })
        .map_err(failed::<R>("list", ""))?;
    rows.into_iter()
        .map(|(key, version, body)| decode_row(&key, version, &body).map(|record| (key, record)))
        .collect()
}

fn decode_row<R: Record>(key: &str, version: u32, body: &[u8]) -> Result<R, Error> {
    decode(version, body).map_err(|source| Error::Decode { table: R::TABLE, key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::record::UpgradeError;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Fruit {
        colour: String,
    }

    impl Record for Fruit {
        const TABLE: &'static str = "fruit";
        const VERSION: u32 = 2;

        fn upgrade(version: u32, document: Value) -> Result<Self, UpgradeError> {
            match (version, document.as_str()) {
                (1, Some(colour)) => Ok(fruit(colour)),
                _ => Err(UpgradeError::UnknownVersion { found: version, newest: Self::VERSION }),
            }
        }
    }

    fn fruit(colour: &str) -> Fruit {
        Fruit { colour: colour.to_owned() }
    }

    fn store() -> (TempDir, Store) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(&folder.path().join("store.db")).expect("open");
        (folder, store)
    }

    fn write_raw(store: &Store, key: &str, version: u32, body: &str) {
        store
            .lock()
            .execute(
                "INSERT INTO record VALUES ('fruit', ?1, ?2, ?3)",
                params![key, version, body.as_bytes()],
            )
            .expect("insert");
    }

    #[test]
    fn put_then_load_returns_the_record() {
        let (_folder, store) = store();
        store.put("apple", &fruit("red")).expect("put");
        store.put("apple", &fruit("green")).expect("put");
        assert_eq!(store.load("apple").expect("load"), Some(fruit("green")));
        assert_eq!(store.load::<Fruit>("pear").expect("load"), None);
    }

    #[test]
    fn list_is_ordered_by_key_and_remove_tells_what_was_there() {
        let (_folder, store) = store();
        store.put("b", &fruit("blue")).expect("put");
        store.put("a", &fruit("red")).expect("put");
        assert!(store.remove::<Fruit>("b").expect("remove"));
        assert!(!store.remove::<Fruit>("b").expect("remove"));
        assert_eq!(store.list().expect("list"), vec![("a".to_owned(), fruit("red"))]);
    }

    #[test]
    fn reopened_store_has_all_commits_without_a_checkpoint() {
        let (folder, store) = store();
        store.put("apple", &fruit("red")).expect("put");
        // A process that is killed closes nothing: copy the files as they lie on disk.
        let copy = tempfile::tempdir().expect("temporary folder");
        for name in ["store.db", "store.db-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copy");
        }
        let reopened = Store::open(&copy.path().join("store.db")).expect("open");
        assert_eq!(reopened.load("apple").expect("load"), Some(fruit("red")));
    }

    #[test]
    fn second_open_of_the_same_file_is_refused() {
        let (folder, store) = store();
        store.put("apple", &fruit("red")).expect("put");
        assert!(matches!(Store::open(&folder.path().join("store.db")), Err(Error::Open { .. })));
    }

    #[test]
    fn failed_transaction_leaves_nothing() {
        let (_folder, store) = store();
        let result: Result<(), Error> = store.transaction(|transaction| {
            transaction.put("apple", &fruit("red"))?;
            Err(Error::Commit(rusqlite::Error::InvalidQuery))
        });
        assert!(result.is_err());
        assert_eq!(store.load::<Fruit>("apple").expect("load"), None);
    }

    #[test]
    fn older_version_is_upgraded_and_newer_is_refused() {
        let (_folder, store) = store();
        write_raw(&store, "old", 1, "\"red\"");
        write_raw(&store, "new", 3, "{}");
        assert_eq!(store.load("old").expect("load"), Some(fruit("red")));
        assert!(matches!(store.load::<Fruit>("new"), Err(Error::Decode { .. })));
    }

    #[test]
    fn damaged_file_is_told_and_a_sound_one_is_not() {
        let (folder, store) = store();
        let path = folder.path().join("store.db");
        for number in 0..500 {
            store.put(&format!("{number}"), &fruit("red")).unwrap();
        }
        store.checkpoint().unwrap();
        assert_eq!(store.verify().unwrap(), Vec::<String>::new());
        drop(store);
        let mut content = std::fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle..middle + 4096].fill(0xa5);
        std::fs::write(&path, content).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(!store.verify().unwrap().is_empty());
    }

    /// Blocks of 512 bytes that the log has on the disk.
    fn log_blocks(folder: &TempDir) -> u64 {
        std::fs::metadata(folder.path().join("store.db-wal")).expect("log").blocks()
    }

    #[test]
    fn log_has_room_on_the_disk_before_and_after_a_checkpoint() {
        let (folder, store) = store();
        assert!(log_blocks(&folder) >= crate::reserve::SIZE / 512);
        store.put("apple", &fruit("red")).expect("put");
        store.checkpoint().expect("checkpoint");
        assert!(log_blocks(&folder) >= crate::reserve::SIZE / 512);
    }

    #[test]
    fn checkpoint_empties_the_log_and_keeps_the_records() {
        let (folder, store) = store();
        store.put("apple", &fruit("red")).expect("put");
        store.checkpoint().expect("checkpoint");
        let log = std::fs::metadata(folder.path().join("store.db-wal")).expect("log").len();
        assert_eq!((log, store.load("apple").expect("load")), (0, Some(fruit("red"))));
    }
}
