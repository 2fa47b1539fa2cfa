package config

import (
	"net/netip"
	"slices"
)

// Node is everything one node needs, derived and complete. LB, Web and DB are
// nil where the node does not have that role; every pointer, default and list
// inside them is filled in.
type Node struct {
	Name        string
	Site        string
	Hosts       []string // the site's name, then every host name of web.sites on every node, in file order; the same on every node
	Roles       []string
	Address     netip.Addr // zero without nodes
	LB          *LB
	Web         *Web
	DB          *DB
	VIP         []VIP
	TLS         TLS
	Firewall    Firewall
	Admin       Admin
	Log         Log
	Process     Process
	Members     []Member // every node of the site, this one included
	Binds       []Bind   // every listening socket of this node, in a stable order
	Fingerprint string   // of the site config: the same on every node that has the same file
	Dev         bool     // stack dev: shared front address, no privileged ports
}

// Member is what a node knows of each node of the site.
type Member struct {
	Name    string
	Roles   []string
	Address netip.Addr
	Weight  int
	DB      netip.AddrPort // where other nodes reach its database; zero without the role db
}

// Databases are the nodes of the role db, in the order of the file.
func (n *Node) Databases() []Member {
	var list []Member
	for _, m := range n.Members {
		if slices.Contains(m.Roles, "db") {
			list = append(list, m)
		}
	}
	return list
}

// AckNeed is how many of the other database servers must have a commit on disk: DB.Ack as
// a number.
func (n *Node) AckNeed() int {
	all := len(n.Databases())
	switch {
	case n.DB == nil || all < 2 || n.DB.Ack == "none":
		return 0
	case n.DB.Ack == "majority":
		return all / 2 // with the primary it is more than half
	}
	return 1
}

// Bind is one listening socket (a group of them where Group > 1).
type Bind struct {
	Role     string         // lb, web, db, admin
	Owner    string         // what listens: frontend name, "web", "db", "admin"
	Addr     netip.AddrPort // unspecified v6 address means v6 only; v4 has its own Bind
	Freebind bool           // the address may not be there yet (VIP)
	Group    int            // number of SO_REUSEPORT members: the loops of the role; 1 = plain
}
