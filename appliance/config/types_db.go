package config

import (
	"net/netip"
	"time"
)

// DB is the database server.
type DB struct {
	Role             string         `yaml:"role" default:"primary" enum:"primary" doc:"Only without nodes; with nodes the first one of the role db is the primary."`
	Bind             []Listen       `yaml:"bind" doc:"The addresses; by default port 3306 of the node's address, without nodes of 127.0.0.1."`
	Socket           string         `yaml:"socket" doc:"The path of a Unix socket for clients on the same machine; empty: none."`
	DataDir          string         `yaml:"data_dir" default:"/var/lib/stack/db" doc:"The directory of the data, used by one server at a time."`
	RootPasswordFile string         `yaml:"root_password_file" doc:"The file of root's password. Without it and root_password, one is generated at the first start and kept as db-root in tls.secrets_dir."`
	RootPassword     string         `yaml:"root_password" doc:"Root's password itself, for tests."`
	Databases        []string       `yaml:"databases" doc:"Databases that are made at the start if they do not exist."`
	Users            []DBUser       `yaml:"users" doc:"Accounts that are made at the start if they do not exist."`
	Memory           int64          `yaml:"memory" default:"512MiB" min:"64MiB" max:"16TiB" unit:"bytes" doc:"The memory that the database aims to stay within; half of it is block cache."`
	QueryMemory      int64          `yaml:"query_memory" default:"64MiB" min:"1MiB" max:"16TiB" unit:"bytes" doc:"What a sort, a join, the groups, the subqueries or the cursors of one statement may keep in memory; more is error 1038."`
	MaxConnections   int            `yaml:"max_connections" default:"200" min:"1" max:"100000" doc:"Sessions of clients at a time; one more is kept for an administrator. Those of the site's own servers do not count."`
	TLS              *BindTLS       `yaml:"tls" doc:"The certificates for clients that ask for TLS; by default of the local CA."`
	ProxyFrom        []netip.Prefix `yaml:"proxy_from" doc:"The peers that may send a PROXY protocol header; by default exactly the balancers. Written: the derived pools of the balancers send one, so that accounts, grants by host and the process list know the clients."`
	Binlog           DBBinlog       `yaml:"binlog" doc:"The binary log: what was changed, for replicas and point-in-time recovery."`
	SlowLog          DBSlowLog      `yaml:"slow_log" doc:"Statements that take long."`
	Ack              string         `yaml:"ack" enum:"none one majority" doc:"Which of the other database servers must have a commit on disk before it is answered and visible: none, any one, or so many that they and the primary are a majority. By default one where there are others."`
	AckTimeout       time.Duration  `yaml:"ack_timeout" default:"10s" min:"100ms" max:"1h" doc:"How long a commit waits for them before ack_policy decides."`
	AckPolicy        string         `yaml:"ack_policy" enum:"strict degrade" doc:"What happens then: strict refuses new writes and those that wait go on waiting; degrade goes on without the others, with an alarm. By default strict with two or more replicas, degrade with one."`
	SeedRate         int64          `yaml:"seed_rate" default:"0" min:"0" max:"1TiB" unit:"bytes" doc:"What all copies that other nodes fetch (stack db clone) may take together, a second; 0: no bound."`
	LockWaitTimeout  time.Duration  `yaml:"lock_wait_timeout" default:"50s" min:"1s" max:"1d" doc:"How long a statement waits for a lock."`
}

// DBBinlog bounds the binary log. Whichever bound is met first removes the oldest files.
type DBBinlog struct {
	Keep    time.Duration `yaml:"keep" default:"7d" min:"10s" max:"10y" doc:"How long a file is kept after its last event."`
	MaxSize int64         `yaml:"max_size" default:"10GiB" min:"64MiB" max:"16TiB" unit:"bytes" doc:"What all files may take together; the one that is being written always stays."`
	Archive string        `yaml:"archive" doc:"The directory where complete files are kept for good, below a directory with the server's UUID. Nothing is removed from the log before it is there."`
}

// DBSlowLog says which statements are logged as slow, and where. SQL can change the first three
// while the server runs, as slow_query_log, long_query_time and log_queries_not_using_indexes.
type DBSlowLog struct {
	Enabled         bool          `yaml:"enabled" default:"false" doc:"Whether slow statements are logged."`
	Time            time.Duration `yaml:"time" default:"10s" min:"0s" max:"365d" doc:"A statement that takes as long is slow; 0s logs every one."`
	NotUsingIndexes bool          `yaml:"not_using_indexes" default:"false" doc:"Whether statements that read a whole table or index are logged too, however short."`
	Path            string        `yaml:"path" doc:"The file; empty: the log of the process."`
}

// DBUser is an account made at start if it does not exist.
type DBUser struct {
	Name         string   `yaml:"name" doc:"The name of the account."`
	Databases    []string `yaml:"databases" doc:"The databases on which it has all privileges."`
	PasswordFile string   `yaml:"password_file" doc:"The file of its password."`
	From         string   `yaml:"from" default:"%" doc:"The host part of the account: where it may connect from."`
}
