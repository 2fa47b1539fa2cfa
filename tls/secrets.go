package tls

import (
	"archive/tar"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// sharedKeys are random keys that several nodes hold; the roles that need each.
var sharedKeys = []struct {
	file  string
	roles []string
}{
	{"tickets.key", []string{"lb", "web"}},
	{"vrrp.key", []string{"lb"}},
	{"replication.key", []string{"db"}},
}

// InitSecrets creates what is missing in dir: the CA, the shared keys. It never
// replaces a file and returns the names that it made.
func InitSecrets(dir, site string) (made []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the secrets directory: %w", err)
	}
	// Without the right to look, what is missing would seem to be there.
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("look into the secrets directory: %w: run as root or as the user that it belongs to", err)
	}
	crt, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	haveCrt, haveKey := exists(crt), exists(key)
	switch {
	case haveCrt && !haveKey:
		return nil, fmt.Errorf("%s holds ca.crt without ca.key: this is an exported copy; run `stack secrets init` where the CA was made", dir)
	case haveKey && !haveCrt:
		return nil, fmt.Errorf("%s holds ca.key without ca.crt: restore ca.crt from a backup, or remove ca.key to start a new CA", dir)
	case !haveCrt:
		certPEM, keyPEM, err := newCA(site, time.Now())
		if err != nil {
			return nil, err
		}
		// The key first: a crash between the two leaves a state that says what to do.
		if err := writeSecret(key, keyPEM); err != nil {
			return nil, err
		}
		if err := writeSecret(crt, certPEM); err != nil {
			return nil, err
		}
		made = append(made, "ca.key", "ca.crt")
	}
	for _, k := range sharedKeys {
		path := filepath.Join(dir, k.file)
		if exists(path) {
			continue
		}
		random := make([]byte, 32)
		if _, err := rand.Read(random); err != nil {
			return made, fmt.Errorf("draw %s: %w", k.file, err)
		}
		if err := writeSecret(path, []byte(hex.EncodeToString(random)+"\n")); err != nil {
			return made, err
		}
		made = append(made, k.file)
	}
	return made, nil
}

// Export writes a tar archive of what node needs: the CA certificate (not its key),
// its leaf, issued or renewed here, and the shared keys of its roles. It unpacks
// with `tar -x -C /etc/stack/secrets`.
func Export(w io.Writer, dir string, node *config.Node) error {
	if _, err := OpenCA(dir); err != nil {
		return err
	}
	if _, err := ensureLeaf(dir, node.Name, LeafNames(node), time.Now()); err != nil {
		return err
	}
	files := []string{"ca.crt", filepath.Base(leafFile(dir, node.Name))}
	for _, k := range sharedKeys {
		if anyOf(k.roles, node.Roles) {
			files = append(files, k.file)
		}
	}
	archive := tar.NewWriter(w)
	balancer := anyOf([]string{"lb"}, node.Roles) && !anyOf([]string{"db"}, node.Roles) && len(node.Databases()) > 1
	if balancer {
		files = append(files, balancerKeyFile)
	}
	for _, name := range files {
		var content []byte
		var err error
		if name == balancerKeyFile {
			var key []byte
			if key, err = BalancerKey(dir); err != nil {
				return err
			}
			content = []byte(hex.EncodeToString(key) + "\n")
		} else if content, err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return secretsError(dir, err)
		}
		head := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: time.Now().Truncate(time.Second), Format: tar.FormatPAX}
		if err := archive.WriteHeader(head); err != nil {
			return fmt.Errorf("write the archive: %w", err)
		}
		if _, err := archive.Write(content); err != nil {
			return fmt.Errorf("write the archive: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// ReadKey returns a shared key of the secrets directory: 32 bytes.
func ReadKey(dir, file string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, secretsError(dir, err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is not 64 hexadecimal digits; restore it from another node of the site", filepath.Join(dir, file))
	}
	return key, nil
}

const balancerKeyFile = "balancer.key"

// BalancerKey is the key by which balancers ask the database servers of the site for their roles, 32
// bytes: derived from replication.key where that is, else as it was exported. It gives no way
// back to replication.key, with which one could promote.
func BalancerKey(dir string) ([]byte, error) {
	if !exists(filepath.Join(dir, "replication.key")) {
		return ReadKey(dir, balancerKeyFile)
	}
	key, err := ReadKey(dir, "replication.key")
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("stack: key of the balancers, 1"))
	return m.Sum(nil), nil
}

// writeSecret writes a file whole or not at all, readable by its owner alone.
func writeSecret(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing left to remove
	_, err = f.Write(content)
	if err == nil {
		err = giveToOwner(f, dir)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// giveToOwner hands a file that root makes to the owner of its directory: the
// service does not run as root and must be able to read what an operator made.
func giveToOwner(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func anyOf(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}
