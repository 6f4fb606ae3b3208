package wire

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckName says what is wrong with a file's name, or nil: names are UTF-8,
// 1 to [MaxName] bytes, in parts of 1 to [MaxPart] bytes joined by '/', no
// part "." or "..", no control character. The error holds no byte of the
// name.
func CheckName(name string) error {
	if name == "" {
		return errors.New("name is empty")
	}
	if err := checkPartial(name); err != nil {
		return err
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return errors.New("name has an empty part: it begins or ends with '/', or has two in a row")
		case part == "." || part == "..":
			return errors.New(`name has "." or ".." as a part`)
		case len(part) > MaxPart:
			return fmt.Errorf("name has a part of %d bytes, at most %d", len(part), MaxPart)
		}
	}
	return nil
}

// checkPartial is what holds for the beginning of a name too, even an empty
// one.
func checkPartial(s string) error {
	if len(s) > MaxName {
		return fmt.Errorf("name has %d bytes, at most %d", len(s), MaxName)
	}
	if !utf8.ValidString(s) {
		return errors.New("name is not UTF-8")
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("name has a control character")
	}
	return nil
}
