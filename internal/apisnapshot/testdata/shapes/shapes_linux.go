package shapes

func OnLinux() {}
