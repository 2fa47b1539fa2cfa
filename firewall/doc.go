// Package firewall turns the topology of a site into the packet filter of one node,
// as nftables text (nft(8)): who may reach which port follows from the roles, so
// nobody keeps a second list of addresses.
//
// It owns the table "inet stack" and never touches another one: the text replaces
// that table in one transaction and never flushes the ruleset. It never looks at
// the machine while rendering: the same node always gives the same text.
package firewall
