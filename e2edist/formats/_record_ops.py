"""Operations of the programs that read records, and what can be wrong with a record.

numba compiles these numbers and `_record_bytes` into `_record_kernel`, and keeps that until its file changes:
touch it too.
"""

# Operations, and what their three numbers are. First those that take bytes of what is being read:
SKIP = 0  # bytes
SKIP_COUNTED = 1  # a byte count, and so many bytes
SKIP_POINTER = 2  # the same, or the number of an object that was written before
SKIP_STRING = 3  # a length in one byte or in five, and so many bytes
COLUMN_SKIP = 4  # as SKIP, for all rows
VALUE = 5  # column of the output, bytes
COLUMN_VALUE = 6  # as VALUE, for all rows
# Then those that change what is being read, or what comes next:
ENTER = 7  # first and last of the versions of a class, bytes if it may lack a byte count: go to its version
COLLECTION = 8  # first and last of the versions of what it holds, fewest bytes of a row
LEAVE = 9  # whether the object must end here; else what is left of it is passed over
REPEAT = 10  # place behind the loop: do what follows once for each row
NEXT = 11  # place of what is repeated
JUMP = 12  # place
IF_END = 13  # place to go to at the end of the record
REFUSE = 14  # number of the reason
STOP = 15  # the record ends here

#: What is wrong with a record.
OK, PAST_END, NO_COUNT, UNKNOWN_VERSION, NOT_AT_END, ABSURD, REFUSED, TOO_DEEP = range(8)
