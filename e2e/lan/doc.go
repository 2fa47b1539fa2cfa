// Package lan builds a network segment in namespaces, for tests and measurements of what
// hosts on it do to each other: a switch, hosts that can be cut off, frozen and removed,
// a client that asks every millisecond, a recorder of VRRP adverts, and a control that
// tells stalls of the machine from stalls of the programs.
//
// It needs root. Nothing leaves the namespaces, whose names begin with a prefix of the
// caller; Close removes them.
package lan
