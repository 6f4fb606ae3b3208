package node

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTimesThatEndSomethingAreInTheTable of docs/design.md, each with its value.
func TestTimesThatEndSomethingAreInTheTable(t *testing.T) {
	text, err := os.ReadFile("../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "### Times that end something")
	table, _, end := strings.Cut(table, "## 9. ")
	if !ok || !end {
		t.Fatal("no table")
	}
	for name, want := range map[string]time.Duration{
		"dialTime": dialTime, "maxDialTime": maxDialTime, "writeTime": writeTime, "endTime": endTime, "quietTime": quietTime,
		"leastTime": leastTime, "uploadIdle": uploadIdle, "uploadStall": uploadStall, "silentTime": silentTime, "askTime": askTime,
		"ackTime": ackTime, "syncTime": syncTime, "listTime": listTime, "maxPageTime": maxPageTime, "maxListTime": maxListTime,
		"allListTime": allListTime,
	} {
		says := regexp.MustCompile("`" + name + "` (\\d+) (s|min)").FindStringSubmatch(table)
		if says == nil {
			t.Errorf("%s is not in the table", name)
			continue
		}
		if got, err := time.ParseDuration(says[1] + says[2][:1]); err != nil || got != want {
			t.Errorf("the table says %s %s, it is %v", name, says[0], want)
		}
	}
}
