// Package house holds the rules of this repository that a compiler does not:
// who may import whom, and what may be named where. There is nothing in it
// but tests.
package house
