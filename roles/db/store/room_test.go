package store

import "testing"

func TestRoom(t *testing.T) {
	var s []int32
	for i := range int32(200_000) {
		s = append(Room(s, 1), i)
	}
	for i, v := range s {
		if v != int32(i) {
			t.Fatalf("element %d is %d", i, v)
		}
	}
	if r := Room(s[:7:7], 100_000); len(r) != 7 || cap(r) < 100_007 || r[6] != 6 {
		t.Errorf("%d elements, room for %d", len(r), cap(r)-len(r))
	}
	if r := Room(s[:5], 3); &r[0] != &s[0] {
		t.Error("there was room, and it is another slice")
	}
}
