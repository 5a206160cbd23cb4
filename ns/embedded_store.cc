// The store in an SQLite file. A lease is a lock on one byte of a file beside it (F_OFD_SETLK, fcntl(2)): the kernel
// lets go of it when the holder ends, and tells everybody else whether it is held.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>
#include <string_view>

#include "base/unique_fd.h"
#include "ns/store.h"

namespace beam::ns {
namespace {

constexpr int kBusyTimeout = 10000;  // milliseconds, before a transaction of another process is held to be stuck
constexpr int kVersion = 1;

constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,"
    " lease INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS entries_by_lease ON entries (lease) WHERE lease != 0;"
    "CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY AUTOINCREMENT);"
    "CREATE TABLE IF NOT EXISTS state (revision INTEGER NOT NULL);"
    "INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT * FROM state);"
    "PRAGMA user_version = 1;";

// The file of leases, and which of them are this process's own: the kernel only tells of others' locks.
class Leases {
 public:
  explicit Leases(UniqueFd file) : file_(std::move(file)) {}

  int hold(LeaseId id) {
    const std::lock_guard lock(mutex_);
    const int error = set(id, F_WRLCK);
    if (error == 0) {
      own_.insert(id);
    }
    return error;
  }
  void drop(LeaseId id) {
    const std::lock_guard lock(mutex_);
    own_.erase(id);
    (void)set(id, F_UNLCK);
  }
  [[nodiscard]] bool is_held(LeaseId id) const {
    const std::lock_guard lock(mutex_);
    struct flock range = byte(id, F_WRLCK);
    // What can't be asked is left in peace.
    return own_.contains(id) || ::fcntl(file_.get(), F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
  }

 private:
  static struct flock byte(LeaseId id, short type) {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = id;
    range.l_len = 1;
    return range;
  }
  int set(LeaseId id, short type) {
    struct flock range = byte(id, type);
    return ::fcntl(file_.get(), F_OFD_SETLK, &range) == 0 ? 0 : errno;
  }

  mutable std::mutex mutex_;
  UniqueFd file_;
  std::set<LeaseId> own_;
};

class EmbeddedLease : public Lease {
 public:
  EmbeddedLease(std::shared_ptr<Leases> leases, LeaseId id) : leases_(std::move(leases)), id_(id) {}
  ~EmbeddedLease() override { leases_->drop(id_); }
  EmbeddedLease(const EmbeddedLease&) = delete;
  EmbeddedLease& operator=(const EmbeddedLease&) = delete;
  [[nodiscard]] LeaseId id() const override { return id_; }

 private:
  std::shared_ptr<Leases> leases_;
  LeaseId id_;
};

// A prepared statement with its arguments.
class Statement {
 public:
  Statement(sqlite3* database, const char* text) {
    status_ = ::sqlite3_prepare_v2(database, text, -1, &statement_, nullptr);
  }
  ~Statement() { ::sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& with(std::string_view text) {
    ::sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& with(std::int64_t number) {
    ::sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  // Whether there is a row (more).
  bool step() {
    if (statement_ != nullptr) {
      status_ = ::sqlite3_step(statement_);
    }
    return status_ == SQLITE_ROW;
  }
  [[nodiscard]] bool failed() const { return status_ != SQLITE_OK && status_ != SQLITE_ROW && status_ != SQLITE_DONE; }
  [[nodiscard]] std::int64_t number(int column) const { return ::sqlite3_column_int64(statement_, column); }
  [[nodiscard]] std::string text(int column) const {
    const void* bytes = ::sqlite3_column_blob(statement_, column);
    const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column));
    return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_OK;
  int bound_ = 0;
};

// Connections are opened and closed one at a time: SQLite does not wait, whatever its timeout, for another one that
// makes the write-ahead log or, as the last to close, takes it away (sqlite.org/wal.html, section 5). A lock of
// flock(2), which those of the leases know nothing of.
class Turn {
 public:
  explicit Turn(int door) : door_(door) {
    while (::flock(door_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~Turn() { (void)::flock(door_, LOCK_UN); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  const int door_;
};

class EmbeddedStore : public Store {
 public:
  explicit EmbeddedStore(std::string path) : path_(std::move(path)) {}
  ~EmbeddedStore() override {
    const Turn turn(door_.get());
    ::sqlite3_close_v2(database_);
  }
  EmbeddedStore(const EmbeddedStore&) = delete;
  EmbeddedStore& operator=(const EmbeddedStore&) = delete;

  Result<> open(const std::string& leases_path) {
    UniqueFd file(::open(leases_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) {
      return Error::from_errno(leases_path + ": cannot open");
    }
    leases_ = std::make_shared<Leases>(std::move(file));
    door_.reset(::open(leases_path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    const Turn turn(door_.get());
    constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (::sqlite3_open_v2(path_.c_str(), &database_, kFlags, nullptr) != SQLITE_OK) {
      return failure();
    }
    ::sqlite3_busy_timeout(database_, kBusyTimeout);
    // A commit is not flushed to the disk: what it says is of living processes, and those do not outlive the machine.
    BEAM_TRY(run("PRAGMA synchronous = NORMAL"));
    std::int64_t version = 0;
    {
      Statement asked(database_, "PRAGMA user_version");
      version = asked.step() ? asked.number(0) : 0;
      if (asked.failed()) {
        return failure();
      }
    }
    if (version > kVersion) {
      return Error(0, path_ + ": is of a later version of Beam").remedy("use that one, or another $BEAM_HOME");
    }
    if (version == kVersion) {
      return success();
    }
    BEAM_TRY(run("PRAGMA journal_mode = WAL"));
    BEAM_TRY(run("BEGIN IMMEDIATE"));
    return finish(run(kSchema));
  }

  Result<std::optional<Entry>> get(const std::string& key) override {
    BEAM_TRY_ASSIGN(auto found, select("SELECT key, value, revision, lease FROM entries WHERE key = ?1", key));
    return found.empty() ? std::optional<Entry>() : std::optional<Entry>(std::move(found.front()));
  }

  Result<std::vector<Entry>> list(const std::string& prefix) override {
    // Keys are compared byte by byte; none has the last of all bytes.
    return select("SELECT key, value, revision, lease FROM entries WHERE key >= ?1 AND key < ?1 || x'ff' ORDER BY key",
                  prefix);
  }

  Result<bool> commit(const Transaction& transaction) override {
    const std::lock_guard lock(mutex_);
    BEAM_TRY(run("BEGIN IMMEDIATE"));
    bool holds = true;
    BEAM_TRY(finish(apply(transaction, holds)));
    return holds;
  }

  Result<std::unique_ptr<Lease>> grant() override {
    LeaseId id = kNoLease;
    {
      const std::lock_guard lock(mutex_);
      Statement added(database_, "INSERT INTO leases DEFAULT VALUES");
      added.step();
      if (added.failed()) {
        return failure();
      }
      id = ::sqlite3_last_insert_rowid(database_);
    }
    if (const int error = leases_->hold(id); error != 0) {
      return Error(error, path_ + ": hold a lease");
    }
    return std::unique_ptr<Lease>(std::make_unique<EmbeddedLease>(leases_, id));
  }

 private:
  [[nodiscard]] Error failure() const {
    Error error(0, path_ + ": " + ::sqlite3_errmsg(database_));
    const int code = ::sqlite3_errcode(database_) & 0xff;
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
      return std::move(error).remedy("end the sandboxes of groups, and remove the file: it is made anew");
    }
    return error;
  }

  Result<> run(const char* text) {
    return ::sqlite3_exec(database_, text, nullptr, nullptr, nullptr) == SQLITE_OK ? success() : Result<>(failure());
  }

  // Ends the transaction that was begun, as its work has ended.
  Result<> finish(Result<> done) {
    if (done.ok()) {
      done = run("COMMIT");
    }
    if (!done.ok()) {
      ::sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
    return done;
  }

  Result<> apply(const Transaction& transaction, bool& holds) {
    BEAM_TRY(drop_dead());
    for (const auto& condition : transaction.when) {
      Statement asked(database_, "SELECT revision FROM entries WHERE key = ?1");
      const std::int64_t revision = asked.with(condition.key).step() ? asked.number(0) : 0;
      if (asked.failed()) {
        return failure();
      }
      if (revision != condition.revision) {
        holds = false;
        return success();
      }
    }
    BEAM_TRY(run("UPDATE state SET revision = revision + 1"));
    for (const auto& key : transaction.removals) {
      Statement removed(database_, "DELETE FROM entries WHERE key = ?1");
      removed.with(key).step();
      if (removed.failed()) {
        return failure();
      }
    }
    for (const auto& put : transaction.puts) {
      Statement added(database_, "INSERT OR REPLACE INTO entries SELECT ?1, ?2, revision, ?3 FROM state");
      added.with(put.key).with(put.value).with(put.lease).step();
      if (added.failed()) {
        return failure();
      }
    }
    return success();
  }

  // What holders that have ended left.
  Result<> drop_dead() {
    std::vector<LeaseId> dead;
    {
      Statement leases(database_, "SELECT DISTINCT lease FROM entries WHERE lease != 0");
      while (leases.step()) {
        if (!leases_->is_held(leases.number(0))) {
          dead.push_back(leases.number(0));
        }
      }
      if (leases.failed()) {
        return failure();
      }
    }
    for (const LeaseId id : dead) {
      for (const char* text : {"DELETE FROM entries WHERE lease = ?1", "DELETE FROM leases WHERE id = ?1"}) {
        Statement dropped(database_, text);
        dropped.with(id).step();
        if (dropped.failed()) {
          return failure();
        }
      }
    }
    return success();
  }

  Result<std::vector<Entry>> select(const char* text, const std::string& key) {
    const std::lock_guard lock(mutex_);
    std::vector<Entry> entries;
    Statement asked(database_, text);
    asked.with(key);
    while (asked.step()) {
      const LeaseId lease = asked.number(3);
      if (lease == kNoLease || leases_->is_held(lease)) {
        entries.push_back({asked.text(0), asked.text(1), asked.number(2)});
      }
    }
    if (asked.failed()) {
      return failure();
    }
    return entries;
  }

  const std::string path_;
  std::mutex mutex_;  // of the connection
  UniqueFd door_;     // for turns
  sqlite3* database_ = nullptr;
  std::shared_ptr<Leases> leases_;
};

}  // namespace

Result<std::shared_ptr<Store>> open_embedded_store(const std::string& directory) {
  auto store = std::make_shared<EmbeddedStore>(directory + "/names.db");
  BEAM_TRY(store->open(directory + "/names.leases"));
  return std::shared_ptr<Store>(std::move(store));
}

}  // namespace beam::ns
