"""Names what pictures show, or finds the objects in them."""

import sys

from service.inference.prediction_command import predict

if __name__ == "__main__":
    sys.exit(predict(sys.argv[1:]))
