package shapes

func OnlyForTests() {}
