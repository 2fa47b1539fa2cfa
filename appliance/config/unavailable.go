package config

// unavailable names what the design of stack has and this version has not. Such a
// key or value is an error of its own kind, not an unknown one. Whoever builds a
// feature deletes its line.
//
// A key is written without list items; a value follows after "=".
var unavailable = map[string]bool{
	"cluster":                              true,
	"db.role=replica":                      true,
	"db.source":                            true,
	"lb.backends.algorithm=first":          true,
	"lb.backends.algorithm=hash":           true,
	"lb.backends.algorithm=least_time":     true,
	"lb.backends.algorithm=random":         true,
	"lb.backends.algorithm=source":         true,
	"lb.backends.queue":                    true,
	"lb.backends.retries.when=429":         true,
	"lb.backends.retries.when=500":         true,
	"lb.backends.retries.when=502":         true,
	"lb.backends.retries.when=503":         true,
	"lb.backends.retries.when=504":         true,
	"lb.backends.retries.when=reset":       true,
	"lb.backends.slow_start":               true,
	"lb.backends.sticky":                   true,
	"tls.acme_email":                       true,
	"web.sites.locations.precompressed":    true,
	"web.sites.locations.proxy.queue":      true,
	"web.sites.locations.proxy.sticky":     true,
	"web.sites.locations.proxy.slow_start": true,
}

const notAvailable = "is not available in this version"

// unavailableKey says whether the key at the plain path exists in the design only.
func unavailableKey(plain string) bool { return unavailable[plain] }

// unavailableValue says the same of a value of a key.
func unavailableValue(plain, value string) bool { return unavailable[plain+"="+value] }
