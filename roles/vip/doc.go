// Package vip keeps a site's virtual addresses on exactly one balancer: VRRP version 3
// (RFC 9568) and 2 (RFC 3768), the addresses on the interface, and their announcement.
// It runs in the net child, the only process with NET_ADMIN and NET_RAW.
//
// It never carries traffic and knows of the balancer only whether it is ready.
package vip
