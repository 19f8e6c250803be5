//go:build amd64 && !cgo

package shapes

func OnAMD64() {}
