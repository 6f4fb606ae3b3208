package sim

import "testing"

// TestAnswerToAnEarlierRunIsNone: a peer that offers versions runs anew while the
// other has yet to store them, and offers others; what comes then confirms what the
// earlier run has offered. (The requests of each run were numbered from 1, so that a
// put was acknowledged with a copy that nobody had.)
func TestAnswerToAnEarlierRunIsNone(t *testing.T) {
	const seed = 91000109
	w := Draw(seed).Run(logger(), nil)
	for _, err := range w.Violations() {
		t.Errorf("seed %v: %v", seed, err)
	}
}
