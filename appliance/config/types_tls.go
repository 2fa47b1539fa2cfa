package config

// ServerTLS turns TLS on towards the servers of a pool.
type ServerTLS struct {
	CA          string    `yaml:"ca" default:"system" doc:"Whom a server's certificate must come from: system is the authorities that the operating system trusts, site is the site's own CA (ca.crt in tls.secrets_dir); else the PEM file of one or more authorities."`
	ServerName  string    `yaml:"server_name" doc:"The name that the certificate must hold, which is also asked for (SNI); by default the host of the server's address."`
	Verify      bool      `yaml:"verify" default:"true" doc:"false takes any certificate: whoever can stand between the two reads and changes everything."`
	Certificate *CertFile `yaml:"certificate" short:"a file that holds both" doc:"The certificate shown to servers that ask for one."`

	// What Resolve completes.
	CAFile     string `yaml:"-"` // empty: the operating system's
	MinVersion string `yaml:"-"`
}

// ClientCA has clients identify themselves by certificate.
type ClientCA struct {
	CA     string   `yaml:"ca" doc:"The PEM file of the authorities that clients' certificates must come from, with those between them."`
	Verify string   `yaml:"verify" default:"required" enum:"required optional" doc:"required refuses clients without a certificate; optional lets them in as such. A certificate that is shown must be good in both cases."`
	CRL    []string `yaml:"crl" doc:"Files of revocation lists of these authorities, PEM or DER. A list whose time is over refuses every certificate of its authority."`
}
