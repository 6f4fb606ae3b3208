package main

import "testing"

// The classic reporter's table, letter for letter.
func TestRingTable(t *testing.T) {
	circle := []string{"2", "4", "5", "8", "9", "14", "19"}
	want := `Peer  2 - 14 > 19 > [ 2] >  4 >  5
Peer  4 - 19 >  2 > [ 4] >  5 >  8
Peer  5 -  2 >  4 > [ 5] >  8 >  9
Peer  8 -  4 >  5 > [ 8] >  9 > 14
Peer  9 -  5 >  8 > [ 9] > 14 > 19
Peer 14 -  8 >  9 > [14] > 19 >  2
Peer 19 -  9 > 14 > [19] >  2 >  4

Unmonitored Peers (1): 15
`
	if got := ringText(ringRows(circle), []string{"15"}); got != want {
		t.Errorf("table is\n%s\nwant\n%s", got, want)
	}
}

func TestRingTableOfFew(t *testing.T) {
	for _, test := range []struct {
		circle []string
		want   string
	}{
		{nil, ""},
		{[]string{"a"}, "Peer  a - ?? > ?? > [ a] > ?? > ??\n"},
		{[]string{"a", "b"}, "Peer  a - ?? >  b > [ a] >  b > ??\nPeer  b - ?? >  a > [ b] >  a > ??\n"},
		{[]string{"a", "b", "longer"}, "Peer      a -      b > longer > [     a] >      b > longer\n" +
			"Peer      b - longer >      a > [     b] > longer >      a\n" +
			"Peer longer -      a >      b > [longer] >      a >      b\n"},
	} {
		if got := ringText(ringRows(test.circle), nil); got != test.want {
			t.Errorf("table of %v is\n%s\nwant\n%s", test.circle, got, test.want)
		}
	}
}
