from sbnet.cli import main

main()
