package config

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// databaseName: what needs no quoting on the command line, in files and in URLs.
var databaseName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}$`)

var systemDatabases = []string{"mysql", "information_schema", "performance_schema", "sys"}

// leastSeedRate is the least db.seed_rate, bytes a second.
const leastSeedRate = 1 << 20

func (v *validator) db(d *DB) {
	if v.site && v.written("db.role") {
		v.at("db.role", "with nodes the key is an error: the first node of the role db is the primary")
	}
	if d.RootPassword != "" && d.RootPasswordFile != "" {
		v.at("db.root_password", "root_password_file is there too; write one of the two")
	}
	v.absolute("db.root_password_file", d.RootPasswordFile)
	if d.DataDir == "" {
		v.at("db.data_dir", "the path is empty; remove the key for /var/lib/stack/db")
	}
	v.absolute("db.data_dir", d.DataDir)
	v.absolute("db.slow_log.path", d.SlowLog.Path)
	v.absolute("db.binlog.archive", d.Binlog.Archive)
	if a := d.Binlog.Archive; a != "" && below(d.DataDir, a) {
		v.at("db.binlog.archive", "%s is in the data directory %s, whose files it is to outlive; name another directory", quote(a), d.DataDir)
	}
	v.acks(d)
	if d.SeedRate != 0 && d.SeedRate < leastSeedRate {
		v.at("db.seed_rate", "%s a second is less than %s: a copy would never end; write 0 for no bound", FormatSize(d.SeedRate), FormatSize(leastSeedRate))
	}
	v.certificates("db.tls", d.TLS)
	if d.TLS != nil && d.TLS.Client != nil {
		v.at("db.tls.client", "the database does not ask clients for certificates in this version; accounts have passwords")
	}
	if d.Socket != "" {
		v.socketPath("db.socket", d.Socket, d.Socket)
	}
	for i, name := range d.Databases {
		at := v.item("db.databases", i, "")
		switch {
		case slices.Contains(systemDatabases, strings.ToLower(name)):
			v.at(at, "%s is a database of the system", quote(name))
		case !databaseName.MatchString(name):
			v.at(at, "%s is not a name for a database: letters, digits and _ $ -, at most 64", missing(name))
		case slices.Contains(d.Databases[:i], name):
			v.at(at, "%s is there twice", quote(name))
		}
	}
	for i, u := range d.Users {
		v.dbUser(v.item("db.users", i, u.Name), u, d.Databases)
	}
}

// acks refuses keys that would do nothing.
func (v *validator) acks(d *DB) {
	for _, key := range []string{"db.ack", "db.ack_timeout", "db.ack_policy"} {
		switch {
		case !v.written(key):
		case len(v.databases) < 2:
			v.at(key, "no other node has the role db, so nobody acknowledges commits; give it to one, or remove the key")
		case d.Ack == "none" && key != "db.ack":
			v.at(key, "db.ack is none, so nothing waits; remove the key, or set db.ack to one or majority")
		}
	}
}

// below reports whether path is dir or below it.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func (v *validator) dbUser(key string, u DBUser, databases []string) {
	// 32 characters is the length of mysql.user.User.
	if u.Name == "" || len(u.Name) > 32 || strings.ContainsAny(u.Name, "@'\"`\\ ") {
		v.at(join(key, "name"), "%s is not the name of an account: 1 to 32 characters without spaces, quotes and @", missing(u.Name))
	}
	if u.Name == "root" {
		v.at(join(key, "name"), "root is always there; its password is set with db.root_password_file")
	}
	if u.PasswordFile == "" {
		v.at(join(key, "password_file"), "the key is missing; name the file that holds the password of %s", u.Name)
	}
	v.absolute(join(key, "password_file"), u.PasswordFile)
	for i, name := range u.Databases {
		if !slices.Contains(databases, name) {
			v.at(v.item(join(key, "databases"), i, ""), "%s is not in db.databases, which has %s%s", quote(name), orNone(databases), hint(name, databases))
		}
	}
}
