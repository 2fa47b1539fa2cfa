package vip

import (
	"net"
	"slices"
	"testing"
)

func TestClaims(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	four, six := addr("10.0.0.10"), addr("fd00::10")
	if address, by := claimARP(gratuitousARP(mac, four)); address != four || !slices.Equal(by, mac) {
		t.Errorf("ARP: %v has %v", by, address)
	}
	if address, _ := claimARP(probeARP(mac, four)); address == four {
		t.Error("a probe claims the address")
	}
	if address, by := claimNA(unsolicitedNA(mac, six)); address != six || !slices.Equal(by, mac) {
		t.Errorf("neighbour advertisement: %v has %v", by, address)
	}
	if _, by := claimNA(probeNS(six)); by != nil {
		t.Error("a solicitation claims the address")
	}
	if got := solicitedNode(addr("fd00::12:3456")); got != addr("ff02::1:ff12:3456") {
		t.Errorf("solicited-node group: %v", got)
	}
}

func FuzzClaims(f *testing.F) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	f.Add(gratuitousARP(mac, addr("10.0.0.10")))
	f.Add(unsolicitedNA(mac, addr("fd00::10")))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, mac := claimARP(b); mac != nil && len(mac) != 6 {
			t.Fatalf("ARP: MAC %v", mac)
		}
		if address, mac := claimNA(b); mac != nil && (len(mac) != 6 || !address.Is6()) {
			t.Fatalf("neighbour advertisement: %v has %v", mac, address)
		}
	})
}
