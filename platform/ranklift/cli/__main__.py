from ranklift.cli import main

main()
