package main

import "fmt"

// nearest returns " (did you mean X?)" if one of names is close to written, or "".
func nearest(written string, names []string) string { return nearestWith(written, names, "") }

// nearestWith is nearest with a prefix before the name.
func nearestWith(written string, names []string, prefix string) string {
	best, at := "", 1+max(2, len(written)/3)
	for _, name := range names {
		if d := distance(written, name); d < at && d < len(name) {
			best, at = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s%s?)", prefix, best)
}

// distance returns the number of bytes to change, add or remove to turn one word
// into another.
func distance(x, y string) int {
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(x) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(y) {
			change := diagonal
			if x[i] != y[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(y)]
}
