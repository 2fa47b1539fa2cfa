package replica

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// Settings are what CHANGE REPLICATION SOURCE says of the source, and whether it is followed.
type Settings struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	User     string `json:"user"`
	Password string `json:"password"`

	// Auto asks for what is not executed here: SOURCE_AUTO_POSITION, MASTER_USE_GTID.
	Auto bool `json:"auto"`

	TLS       bool   `json:"tls"`
	CA        string `json:"ca"`         // file; empty: any certificate is taken
	Cert, Key string `json:",omitempty"` // files, for a source that asks for a certificate
	Verify    bool   `json:"verify"`     // the certificate must name Host
	PublicKey bool   `json:"public_key"` // the source may be asked for its RSA key
	Retry     int    `json:"retry"`      // seconds between two attempts, at most
	Attempts  int    `json:"attempts"`   // before it gives up; 0: it never does
	Heartbeat int64  `json:"heartbeat"`  // nanoseconds of silence after which the source sends a sign of life
	Started   bool   `json:"started"`    // START REPLICA, not followed by STOP
	ReadOnly  bool   `json:"read_only"`  // it was started once, and not reset
}

// Defaults are the settings before anything was said.
func Defaults() Settings {
	return Settings{Port: 3306, Retry: 60, Attempts: 86400, Heartbeat: int64(5 * time.Second)}
}

// Validate says what is wrong with the settings, in the words of SQL.
func (s *Settings) Validate() error {
	switch {
	case s.Verify && s.CA == "":
		return errors.New("SOURCE_SSL_VERIFY_SERVER_CERT needs SOURCE_SSL_CA, the file of the authority that signed the source's certificate")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("SOURCE_SSL_CERT and SOURCE_SSL_KEY belong together: give both")
	case s.Retry < 1 || s.Retry > 86400:
		return fmt.Errorf("SOURCE_CONNECT_RETRY = %d: it is from 1 to 86400 seconds", s.Retry)
	case time.Duration(s.Heartbeat) < 100*time.Millisecond || time.Duration(s.Heartbeat) > time.Hour:
		return fmt.Errorf("SOURCE_HEARTBEAT_PERIOD = %g: it is from 0.1 to 3600 seconds", time.Duration(s.Heartbeat).Seconds())
	}
	return nil
}

// tlsConfig is how the source is spoken to over TLS.
func (s *Settings) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: !s.Verify}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("SOURCE_SSL_CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("SOURCE_SSL_CA: %s holds no certificate", s.CA)
		}
		if !s.Verify {
			c.VerifyConnection = signedBy(c.RootCAs)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("SOURCE_SSL_CERT: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// signedBy checks who signed a certificate, and not which host it names.
func signedBy(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(opts)
		return err
	}
}

// readSettings reads what is stored; nil where no source is configured.
func readSettings(st *store.Store) (*Settings, error) {
	b, err := store.Get(st.DB, store.MetaSourceKey())
	if err != nil || b == nil {
		return nil, err
	}
	s := &Settings{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("settings of the source in %s: %w: %w", st.Dir(), store.ErrCorrupt, err)
	}
	return s, nil
}

// write stores settings, and what else is in b, durably.
func (s *Settings) write(b *pebble.Batch) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := b.Set(store.MetaSourceKey(), value, nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("store the settings of the source: %w", err)
	}
	return nil
}
