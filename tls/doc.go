// Package tls owns certificates and the site's secrets: the local certificate
// authority, the leaf of each node, certificates from files, the choice by SNI and
// the session ticket keys that all balancers share. It hands out *tls.Config values
// of the standard library; it never opens a socket and knows no role.
//
// Files of the secrets directory (0700; every file 0600):
//
//	ca.crt, ca.key       the site's CA; ca.key stays where `stack secrets init` ran
//	NODE.pem             the leaf of a node: key and chain
//	tickets.key          32 random bytes in hex; session ticket keys are derived from it
//	vrrp.key             32 random bytes in hex, for authenticated VRRP adverts
//	replication.key      32 random bytes in hex, for replicas
//	balancer.key         32 bytes in hex, derived from it, for balancers that do not have it
package tls
