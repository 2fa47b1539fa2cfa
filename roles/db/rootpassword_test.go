package db

import (
	"os"
	"path/filepath"
	"testing"
)

// A server that follows another has the accounts of that one: the file of root's password
// has no effect until it follows nobody.
func TestRootPasswordFileOfAFollower(t *testing.T) {
	r := start(t, testNode(t))
	old := r.secret("db-root")
	const changed = "another password, 24 letters"
	ping := func(password string) error { return r.connect("root", password, "").Ping() }
	restart := func() {
		t.Helper()
		r.close()
		r.open()
	}
	mustExec(t, r.rootDB("").Exec, "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = 'u', SOURCE_PASSWORD = 'p'", "START REPLICA")
	if err := os.WriteFile(filepath.Join(r.node.TLS.SecretsDir, "db-root"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	restart()
	if err := ping(old); err != nil {
		t.Errorf("the password that the server had: %v", err)
	}
	if ping(changed) == nil {
		t.Error("the file's password holds on a server that follows another")
	}
	mustExec(t, r.connect("root", old, "").Exec, "STOP REPLICA", "RESET REPLICA ALL")
	restart()
	if err := ping(changed); err != nil {
		t.Errorf("the file's password, once nobody is followed: %v", err)
	}
	if ping(old) == nil {
		t.Error("the old password still holds")
	}
}
