package db

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stack/appliance/config"
)

// user is an account that the configuration asks for.
type user struct {
	Name         string   `json:"name"`
	Host         string   `json:"host"`
	Databases    []string `json:"databases"`
	PasswordFile string   `json:"password_file"`
	password     string
}

// maxAccountName is the length of mysql.user.User.
const maxAccountName = 32

// passwords reads the passwords of root and of every account: those of db.users, and
// one account per database that none of them names, which is called like it. A password
// that is to be generated is, with make, and kept in the secrets directory.
func passwords(node *config.Node, make bool) (root string, users []user, err error) {
	c := node.DB
	secrets := node.TLS.SecretsDir
	switch {
	case c.RootPassword != "":
		root = c.RootPassword
	case c.RootPasswordFile != "":
		root, err = readPassword("db.root_password_file", c.RootPasswordFile)
	default:
		root, err = generated(filepath.Join(secrets, "db-root"), make)
	}
	if err != nil {
		return "", nil, err
	}
	named := map[string]bool{}
	for _, u := range c.Users {
		pw, err := readPassword("db.users "+u.Name+": password_file", u.PasswordFile)
		if err != nil {
			return "", nil, err
		}
		host := u.From
		if host == "" {
			host = "%"
		}
		users = append(users, user{u.Name, host, u.Databases, u.PasswordFile, pw})
		for _, db := range u.Databases {
			named[db] = true
		}
	}
	for _, db := range c.Databases {
		if named[db] {
			continue
		}
		if len(db) > maxAccountName || db == "root" {
			return "", nil, fmt.Errorf("database %s: its name cannot be an account's (32 characters at most, not root); write an account for it under db.users", db)
		}
		path := filepath.Join(secrets, "db-"+db)
		pw, err := generated(path, make)
		if err != nil {
			return "", nil, err
		}
		users = append(users, user{db, "%", []string{db}, path, pw})
	}
	return root, users, nil
}

// readPassword reads the first line of a file.
func readPassword(key, path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w; make the file, with the password as its only line", key, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", fmt.Errorf("%s: %s is empty; write the password as its only line", key, path)
	}
	return line, nil
}

// generated reads a password that was generated before, or generates it.
func generated(path string, make bool) (string, error) {
	pw, err := readPassword("a generated password", path)
	if !errors.Is(err, fs.ErrNotExist) {
		return pw, err
	}
	if !make {
		return "", nil // it will be
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("generate a password: %w", err)
	}
	// 26 characters of base 32: 130 bits, nothing that a shell or an URL would quote.
	pw = strings.ToLower(rand.Text())
	f, err := os.CreateTemp(filepath.Dir(path), "db-password-*")
	if err != nil {
		return "", fmt.Errorf("generate a password: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(pw + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		// Servers of one machine may share the directory and be at this too: the first wins,
		// and nobody finds half a file.
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return readPassword("a generated password", path)
	}
	if err != nil {
		return "", fmt.Errorf("generate a password in %s: %w", path, err)
	}
	return pw, nil
}
