//go:build !linux

package shapes

func OnOthers() {}
