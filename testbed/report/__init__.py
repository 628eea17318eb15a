"""What an explanation leaves behind in files: for CI systems, and a folder for people.

sarif    SARIF 2.1.0, a result for each finding
verdicts JUnit's cases, one for each rule
folder   the report, and of each connection with findings its ladder and its packets
surveyed that folder's page
page     pages of any kind
extract  the packets of some connections, as captures of their own
"""
